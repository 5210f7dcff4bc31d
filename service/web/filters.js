// Filters from the payloads of the gallery: what there is to choose, with counts (GET /facets).
import { json } from "./api.js";
import { byId, element } from "./dom.js";

export async function startFilters(query, changed) {
  const { facets } = await json("/facets");
  byId("filters").replaceChildren(...facets.map((facet) => menu(facet, query, changed)));
}

// One listener for all menus there will ever be: they are made again with every query from the history.
document.addEventListener("click", (event) => {
  for (const menu of byId("filters").querySelectorAll("details[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

function menu(facet, query, changed) {
  const short = facet.key.slice(facet.key.lastIndexOf(".") + 1);
  const title = element("span", { title: facet.key });
  const summary = element("summary", {}, title);
  const options = facet.values.map(({ value, count }) => {
    const box = element("input", { type: "checkbox", checked: (query.filters[facet.key] ?? []).includes(value) });
    box.addEventListener("change", () => {
      const others = (query.filters[facet.key] ?? []).filter((other) => other !== value);
      query.filters[facet.key] = box.checked ? [...others, value] : others;
      name();
      changed({});
    });
    return element("label", {}, box, element("span", {}, String(value)), element("span", { class: "quiet" }, String(count)));
  });
  const name = () => {
    const chosen = query.filters[facet.key] ?? [];
    title.textContent = chosen.length ? `${short}: ${chosen.join(", ")}` : short;
    summary.classList.toggle("chosen", chosen.length > 0);
  };
  name();
  const made = element("details", { class: "menu" }, summary, element("div", { class: "options" }, ...options));
  made.addEventListener("keydown", (event) => { if (event.key === "Escape") { made.open = false; summary.focus(); } });
  return made;
}
