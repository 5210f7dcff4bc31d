// Images of one's own into the gallery: POST /items, one after the other, each with what became of it.
import { ask, base64, post } from "./api.js";
import { button, byId, element } from "./dom.js";

export function openAdd(changed) {
  const dialog = byId("detail");
  const list = element("ul", { class: "uploads" });
  const files = element("input", { id: "files", type: "file", accept: "image/*", multiple: true });
  const caption = element("input", { id: "caption", type: "text", placeholder: "optional" });
  const send = button("Add", async () => {
    send.disabled = true;
    for (const file of files.files) {
      const line = element("li", {}, `${file.name}: `);
      list.append(line);
      line.append(await stored(file, caption.value.trim()));
    }
    send.disabled = false;
    changed({});
  }, { class: "strong" });
  dialog.replaceChildren(
    button("×", () => dialog.close(), { class: "plain close", "aria-label": "Close" }),
    element("div", { class: "side" },
      element("h2", { id: "detail-title" }, "Add images to the gallery"),
      element("p", {}, "They are kept on the machine of the service and found at once."),
      element("p", {}, element("label", { for: "files" }, "Images "), files),
      element("p", {}, element("label", { for: "caption" }, "Caption "), caption), send, list));
  dialog.showModal();
  files.focus();
}

async function stored(file, caption) {
  try {
    const { item } = await post("/items", { image: await base64(file), captions: caption ? [caption] : [], payload: { file: file.name } });
    const undo = button("Undo", async () => {
      try {
        await ask(`/items/${encodeURIComponent(item.id)}`, { method: "DELETE" });
        undo.replaceWith("taken back");
      } catch (problem) {
        undo.replaceWith(element("span", { class: "problem", role: "alert" }, problem.message));
      }
    });
    return element("span", { role: "status" }, "added ", undo);
  } catch (problem) {
    return element("span", { class: "problem", role: "alert" }, `${problem.message} ${problem.help ?? ""}`);
  }
}
