// What is searched: a sentence, an image, items to be near to or far from, filters. All but a file stands in the URL.
import { base64 } from "./api.js";

export const NEAR = 1;
export const FAR = -0.5;

export const emptyQuery = () => ({ text: "", image: null, parts: [], target: "image", filters: {} });

export const isEmpty = (query) => !query.text.trim() && !query.image && !query.parts.length;

export function toUrl(query) {
  const given = new URLSearchParams();
  if (query.text) given.set("text", query.text);
  for (const part of query.parts) given.append(part.weight > 0 ? "like" : "unlike", part.id);
  if (query.target !== "image") given.set("target", query.target);
  for (const [key, values] of Object.entries(query.filters)) {
    for (const value of values) given.append("filter", JSON.stringify([key, value]));
  }
  const text = given.toString();
  return text ? `/?${text}` : "/";
}

export function fromUrl(search) {
  const given = new URLSearchParams(search);
  const query = emptyQuery();
  query.text = given.get("text") ?? "";
  query.target = given.get("target") === "text" ? "text" : "image";
  query.parts = [
    ...given.getAll("like").map((id) => ({ id, weight: NEAR })),
    ...given.getAll("unlike").map((id) => ({ id, weight: FAR })),
  ];
  for (const text of given.getAll("filter")) {
    try {
      const [key, value] = JSON.parse(text);
      (query.filters[key] ??= []).push(value);
    } catch { /* a link that somebody broke searches without this filter */ }
  }
  return query;
}

const must = (filters) =>
  Object.entries(filters).filter(([, values]) => values.length).map(([key, any]) => ({ key, match: { any } }));

// The body of POST /search: one source as itself, several as a mix.
export async function toBody(query, { limit, offset }) {
  const sources = [
    ...(query.text.trim() ? [{ text: query.text, weight: 1 }] : []),
    ...(query.image ? [{ image: await base64(query.image), weight: 1 }] : []),
    ...query.parts.map(({ id, weight }) => ({ id, weight })),
  ];
  const body = { limit, offset, target: query.target };
  const conditions = must(query.filters);
  if (conditions.length) body.filter = { must: conditions };
  if (sources.length === 1 && sources[0].weight > 0) {
    const { weight, ...source } = sources[0];
    return { ...body, ...source };
  }
  return { ...body, mix: sources };
}
