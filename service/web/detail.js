// One item, opened: large, with its captions, what is like it, its metadata, and why it was found.
import { ask, keyed, load, post } from "./api.js";
import { button, byId, copied, element } from "./dom.js";
import { explained } from "./explain.js";
import { isEmpty, toBody } from "./query.js";
import { scored } from "./results.js";

const CAPTIONS = 5;
const SIMILAR = 8;

// What the open item still waits for; of no use once another is shown or none.
let pending = new AbortController();
byId("detail").addEventListener("close", () => pending.abort());

// `actions` is what a card can do: open, like, unlike, `removed` after an item is gone.
export function openDetail(hit, query, actions) {
  pending.abort();
  pending = new AbortController();
  const dialog = byId("detail");
  const picture = element("div", { class: "picture" });
  const image = element("img", { alt: hit.caption ?? hit.uri });
  load(image, hit.id).catch(() => image.classList.add("missing"));
  picture.append(image);
  const said = element("p", { class: "quiet", role: "status" });
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const fail = (error) => { problem.hidden = false; problem.textContent = `${error.message} ${error.help ?? ""}`; };
  const side = element("div", { class: "side" },
    element("h2", { id: "detail-title" }, hit.caption ?? hit.uri),
    element("p", { class: "line" }, hit.score != null && scored(hit), element("span", { class: "quiet" }, hit.uri)),
    problem, why(hit, query, picture, fail), toolbar(hit, dialog, actions, said, fail), said,
    section("Captions that fit", related(hit, "text", CAPTIONS, (found) => element("li", {}, scored(found), ` ${found.caption}`), fail)),
    section("Similar images", related(hit, "image", SIMILAR, (found) => thumbnail(found, actions), fail), "strip"),
    metadata(hit), commandLine(query));
  const close = button("×", () => dialog.close(), { class: "plain close", "aria-label": "Close" });
  dialog.replaceChildren(close, picture, side);
  if (!dialog.open) dialog.showModal();
  close.focus();
}

function why(hit, query, picture, fail) {
  if (!query.text.trim() || hit.modality !== "image") return null;
  const asked = button("Why this image?", async () => {
    asked.disabled = true;
    try {
      asked.replaceWith(await explained(query.text, hit.id, picture));
    } catch (error) {
      asked.disabled = false;
      fail(error);
    }
  }, { class: "strong", id: "why" });
  return asked;
}

function toolbar(hit, dialog, actions, said, fail) {
  const leave = (action) => () => { dialog.close(); action(hit); };
  const remove = button("Delete", async () => {
    if (remove.textContent === "Delete") {
      remove.textContent = "Delete for good?";
      return;
    }
    try {
      await ask(`/items/${encodeURIComponent(hit.id)}`, { method: "DELETE" });
      dialog.close();
      actions.removed(hit);
    } catch (error) {
      fail(error);
    }
  });
  return element("p", { class: "toolbar" },
    button("More like this", leave(actions.like)), button("Less of that", leave(actions.unlike)),
    button("Copy link", () => copied(location.href, said)), remove);
}

function related(hit, target, limit, draw, fail) {
  const list = element("ul", {});
  const body = { id: hit.id, target, limit: limit + (target === hit.modality ? 1 : 0), with_payload: false };
  const { signal } = pending;
  post("/search", body, { signal }).then(({ results }) => {
    const others = results.filter((found) => found.id !== hit.id).slice(0, limit);
    list.replaceChildren(...others.map(draw));
    if (!others.length) list.closest("section").hidden = true;
  }, (error) => { if (!signal.aborted) fail(error); });
  return list;
}

function thumbnail(found, actions) {
  const image = element("img", { alt: found.caption ?? found.uri, loading: "lazy" });
  load(image, found.id).catch(() => {});
  const opener = button("", () => actions.open(found, opener), { class: "plain", "aria-label": `Open ${found.caption ?? found.uri}` });
  opener.append(image);
  return element("li", {}, opener);
}

const section = (title, content, kind = "") => element("section", { class: kind }, element("h3", {}, title), content);

function metadata(hit) {
  const fields = Object.entries({ id: hit.id, ...(hit.description ? { description: hit.description } : {}), ...(hit.payload ?? {}) });
  const rows = fields.flatMap(([name, value]) => [
    element("dt", {}, name), element("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]);
  return section("Metadata", element("dl", {}, ...rows));
}

// The query as it was sent. An image goes as a file, which a mix with one has no room for.
function commandLine(query) {
  if (isEmpty(query) || (query.image && (query.text.trim() || query.parts.length))) return null;
  const shown = element("pre", { tabindex: "0" });
  const said = element("span", { class: "quiet", role: "status" });
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  toBody(query, { limit: 3 }).then(({ image, ...body }) => {
    const sent = image
      ? Object.entries(body).map(([name, value]) => `-F ${quoted(`${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)}`).join(" ")
      : `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
    const file = image ? ` -F ${quoted(`image=@${query.image.name || "image.png"}`)}` : "";
    shown.textContent = `curl -s ${location.origin}/search${keyed() ? ' -H "Authorization: Bearer $KEY"' : ""}${file} ${sent}`;
  });
  return section("From the command line", element("div", {}, shown, button("Copy", () => copied(shown.textContent, said)), said));
}
