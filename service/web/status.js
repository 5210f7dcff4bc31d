// What is served and how it fares: /info, /health/ready and /metrics, looked at every two seconds.
import { ask, json, post } from "./api.js";
import { button, byId, element } from "./dom.js";

const EVERY_MS = 2000;
const KEPT = 90;

// The samples of Prometheus' text format: [{name, labels, value}].
export function samples(text) {
  return text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => {
    const [, name, labels = "", value] = line.match(/^([^{\s]+)(?:\{(.*)\})? (\S+)/) ?? [];
    return { name, value: Number(value), labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, of]) => [key, of])) };
  });
}

const sum = (all, name, where = {}) => all
  .filter((one) => one.name === name && Object.entries(where).every(([key, value]) => one.labels[key] === value))
  .reduce((total, one) => total + one.value, 0);

export function startStatus() {
  const view = byId("status-view");
  const facts = element("dl", { class: "facts" });
  const said = element("p", { role: "status", class: "quiet" });
  const plots = { "requests a second": [], "waiting items": [], "answers from the cache, %": [] };
  const drawn = Object.keys(plots).map((name) => element("figure", { "data-plot": name }, element("figcaption", {}, name)));
  const act = (name, path, body = {}) => button(name, async () => {
    try {
      const { old, new: now } = await post(path, body);
      said.textContent = old.version === now.version ? `Version ${now.version} was served already.` : `Version ${now.version} is served in place of ${old.version}.`;
    } catch (problem) {
      said.textContent = `${problem.message} ${problem.help ?? ""}`;
    }
  });
  const rebuild = element("p", { class: "rebuild" });
  const versions = element("table", { class: "versions" });
  view.replaceChildren(element("h1", {}, "Status"), facts, element("div", { class: "plots" }, ...drawn), rebuild, versions,
    element("p", { class: "toolbar" }, act("Take the published version", "/admin/reload"), act("Roll back", "/admin/rollback")), said);
  let before = null;
  let drawnVersions = "";

  // For those with a key that allows it; drawn anew only when something changed, so that no button goes while it has the focus.
  async function lookAtVersions(served) {
    const found = await json("/admin/versions").catch(() => null);
    const seen = JSON.stringify([served, found]);
    if (!found || seen === drawnVersions) return;
    drawnVersions = seen;
    rebuild.replaceChildren(...(found.rebuild ? drawRebuild(found.rebuild) : []));
    versions.replaceChildren(...drawVersions(found.versions, served, (version) => act("Serve this", "/admin/rollback", { version })));
  }

  async function look() {
    try {
      const [info, ready, text] = await Promise.all([json("/info"), json("/health/ready"), (await ask("/metrics")).text()]);
      const now = { at: performance.now(), all: samples(text) };
      drawFacts(facts, info, ready, now.all);
      await lookAtVersions(info.index.version);
      if (before) record(plots, before, now);
      before = now;
      drawn.forEach((figure) => drawPlot(figure, plots[figure.dataset.plot]));
    } catch (problem) {
      facts.replaceChildren(element("dt", {}, "service"), element("dd", { class: "problem" }, `${problem.message} ${problem.help ?? ""}`));
    }
    setTimeout(look, EVERY_MS);
  }
  look();
}

function drawFacts(place, info, ready, all) {
  const rows = {
    service: `${ready.refused ?? "ready"} · version ${info.version}`,
    index: `${info.index.name}, version ${info.index.version} of ${new Date(info.index.created_at).toLocaleString()}`,
    gallery: `${info.index.images} images, ${info.index.texts} captions`,
    model: `${info.model.name}, ${info.model.dimension} dimensions`,
    cache: info.cache,
    "being answered": sum(all, "aahr_http_requests_in_flight"),
    "turned away": sum(all, "aahr_overload_rejections_total"),
    "versions taken": sum(all, "aahr_generation_swaps_total"),
    "versions refused": sum(all, "aahr_generation_refusals_total"),
  };
  place.replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]));
}

const STALE_MS = 60_000;

function drawRebuild({ stage, items, updated_at: updated }) {
  if (Date.now() - new Date(updated) > STALE_MS) return ["A rebuild was stopped; the next one goes on where it ended."];
  if (stage === "publishing") return ["A rebuild is being published."];
  const counts = Object.entries(items).map(([name, { done, total }]) => element("span", {},
    `${name} ${done} of ${total} `, element("progress", { max: Math.max(1, total), value: done, "aria-label": `${name} embedded` }), " "));
  return ["A rebuild is under way: ", ...counts];
}

function drawVersions(versions, served, serve) {
  const head = ["version", "made", "by", "images", "captions", ""].map((name) => element("th", { scope: "col" }, name));
  const rows = versions.map((each) => element("tr", {},
    ...[each.version, new Date(each.created_at).toLocaleString(), each.kind, String(each.images), String(each.texts)].map((text) => element("td", {}, text)),
    element("td", {}, each.version === served ? "served" : serve(each.version))));
  return [element("caption", { class: "unseen" }, "Versions of the index"), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
}

function record(plots, before, now) {
  const grown = (name, where) => sum(now.all, name, where) - sum(before.all, name, where);
  const asked = grown("aahr_cache_requests_total", { cache: "results" });
  const hits = grown("aahr_cache_requests_total", { cache: "results", result: "hit" });
  const values = [(1000 * grown("aahr_http_requests_total")) / (now.at - before.at), sum(now.all, "aahr_queue_length"), asked ? (100 * hits) / asked : 0];
  Object.values(plots).forEach((points, place) => { points.push(values[place]); if (points.length > KEPT) points.shift(); });
}

function drawPlot(figure, points) {
  const [width, height, most] = [300, 60, Math.max(1, ...points)];
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    return made;
  };
  const latest = points.at(-1) ?? 0;
  const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${figure.dataset.plot}: ${latest.toFixed(1)} now, ${most.toFixed(1)} at most` });
  const line = points.map((value, place) => `${(width * place) / (KEPT - 1)},${height - 2 - ((height - 4) * value) / most}`).join(" ");
  plot.append(svg("polyline", { points: line, fill: "none" }));
  figure.querySelector("svg")?.remove();
  figure.append(plot);
  figure.querySelector("figcaption").textContent = `${figure.dataset.plot}: ${latest.toFixed(1)}`;
}
