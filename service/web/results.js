// The grid of hits, and everything it can be instead: waiting, empty, improbable, failed.
import { load } from "./api.js";
import { button, byId, element } from "./dom.js";

const percent = (share) => (share >= 0.995 ? "> 99 %" : share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`);

// A probability where the model is calibrated for the query, else the cosine.
export function scored(hit) {
  const share = hit.probability ?? Math.max(0, hit.score);
  const text = hit.probability == null ? hit.score.toFixed(3) : percent(hit.probability);
  const ranked = hit.rank_score == null ? "" : `, ranked by ${hit.rank_score.toFixed(3)} after the hubness penalty`;
  const meaning = `${hit.probability == null ? "" : `match with ${text}, `}cosine ${hit.score.toFixed(3)}${ranked}`;
  const bar = element("meter", { min: 0, max: 1, value: share.toFixed(4), "aria-label": meaning, title: meaning });
  return element("span", { class: "score" }, bar, element("span", { "aria-hidden": "true" }, text));
}

export function card(hit, { open, like, unlike }) {
  const name = hit.caption ?? hit.uri;
  const thumbnail = element("img", { alt: name, loading: "lazy", decoding: "async" });
  thumbnail.addEventListener("error", () => thumbnail.classList.add("missing"));
  load(thumbnail, hit.id).catch(() => thumbnail.classList.add("missing"));
  const opener = button("", () => open(hit, opener), { class: "plain open", "aria-label": `Open ${name}` });
  opener.append(thumbnail);
  const actions = element("span", { class: "actions" },
    button("More like this", () => like(hit), { class: "plain" }),
    button("Less of that", () => unlike(hit), { class: "plain" }));
  const about = element("div", { class: "about" },
    hit.caption && element("p", { class: "caption" }, hit.caption),
    element("p", { class: "quiet line" }, scored(hit), hit.equally_good && element("span", { class: "badge" }, "equally good")),
    actions);
  return element("li", { class: `card ${hit.modality}` }, opener, about);
}

export const skeletons = (count) => Array.from({ length: count }, () => element("li", { class: "card skeleton", "aria-hidden": "true" }));

export function summary(answer, shown) {
  const cached = answer.cached ? ", from the cache" : "";
  const notes = answer.query.notes.map((note) => ` · ${note}`).join("");
  return `${shown === 1 ? "1 result" : `${shown} results`} in ${answer.took_ms.toFixed(1)} ms${cached}${notes}`;
}

let countdown = 0;

export function showProblem(problem, again) {
  clearInterval(countdown);
  const place = byId("problem");
  place.hidden = !problem;
  if (!problem) {
    place.replaceChildren();
    return;
  }
  const wait = element("span", {});
  place.replaceChildren(
    element("strong", {}, problem.message),
    problem.help && element("span", {}, problem.help), wait,
    button("Try again", again));
  if (problem.retryAfter == null) return;
  let left = problem.retryAfter;
  const tick = () => {
    wait.textContent = `Again in ${left} s.`;
    if (left-- <= 0) { clearInterval(countdown); again(); }
  };
  tick();
  countdown = setInterval(tick, 1000);
}

export function startArrows(list) {
  list.addEventListener("keydown", (event) => {
    const openers = [...list.querySelectorAll(".open")];
    const here = openers.indexOf(document.activeElement);
    const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (here < 0 || !step) return;
    event.preventDefault();
    openers[Math.min(Math.max(here + step, 0), openers.length - 1)].focus();
  });
}
