// What is searched: a sentence, an image, items to be near to or far from, filters. All but a file stands in the URL.
import { base64 } from "./api.js";

export const NEAR = 1;
export const FAR = -0.5;
export const MOST_WEIGHT = 2;

export const emptyQuery = () => ({ text: "", image: null, parts: [], target: "image", filters: {} });

export const isEmpty = (query) => !query.text.trim() && !query.image && !query.parts.length;

// `opened` is the id of the item that is looked at, so that a link leads to it too.
export function toUrl(query, opened = null) {
  const given = new URLSearchParams();
  if (query.text) given.set("text", query.text);
  for (const part of query.parts) given.append("mix", `${part.weight}:${part.id}`);
  if (query.target !== "image") given.set("target", query.target);
  for (const [key, values] of Object.entries(query.filters)) {
    for (const value of values) given.append("filter", JSON.stringify([key, value]));
  }
  if (opened) given.set("open", opened);
  const text = given.toString();
  return text ? `/?${text}` : "/";
}

export function fromUrl(search) {
  const given = new URLSearchParams(search);
  const query = emptyQuery();
  query.text = given.get("text") ?? "";
  query.target = given.get("target") === "text" ? "text" : "image";
  query.parts = given.getAll("mix").map(toPart).filter((part) => part !== null);
  for (const text of given.getAll("filter")) {
    try {
      const [key, value] = JSON.parse(text);
      (query.filters[key] ??= []).push(value);
    } catch { /* a link that somebody broke searches without this filter */ }
  }
  return query;
}

// "-0.5:ID"; null for what somebody broke.
function toPart(text) {
  const at = text.indexOf(":");
  const weight = Number(text.slice(0, at));
  return at > 0 && weight && Math.abs(weight) <= MOST_WEIGHT ? { id: text.slice(at + 1), weight } : null;
}

const must = (filters) =>
  Object.entries(filters).filter(([, values]) => values.length).map(([key, any]) => ({ key, match: { any } }));

// The body of POST /search: one source as itself, several as a mix.
export async function toBody(query, { limit, offset = 0 }) {
  const sources = [
    ...(query.text.trim() ? [{ text: query.text, weight: 1 }] : []),
    ...(query.image ? [{ image: await base64(query.image), weight: 1 }] : []),
    ...query.parts.map(({ id, weight }) => ({ id, weight })),
  ];
  const body = { limit, ...(offset ? { offset } : {}), target: query.target };
  const conditions = must(query.filters);
  if (conditions.length) body.filter = { must: conditions };
  if (sources.length === 1 && sources[0].weight > 0) {
    const { weight, ...source } = sources[0];
    return { ...body, ...source };
  }
  return { ...body, mix: sources };
}
