// Elements are made of text, never of markup: captions, file names and payloads come from strangers.

export const byId = (id) => document.getElementById(id);

// element("a", {class: "plain", href: "/"}, "text", otherElement)
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(attribute, "");
    else if (value !== false && value != null) made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child != null && child !== "" && child !== false));
  return made;
}

export function button(label, onClick, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", onClick);
  return made;
}

export function debounced(action, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds, ...given);
  };
}

export function copied(text, where) {
  const done = () => { where.textContent = "Copied"; };
  navigator.clipboard?.writeText(text).then(done, () => { where.textContent = text; });
}
