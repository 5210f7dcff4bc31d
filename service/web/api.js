// Requests to the service this page came from. A key stays in the field into which it was typed.
import { byId } from "./dom.js";

// What went wrong, in words, and what helps; `retryAfter` in seconds where the service says so.
export class Problem extends Error {
  constructor(message, { status = 0, help = "", retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, help, retryAfter });
  }
}

const HELP = {
  0: "Is the service still running? Start it with: aahr serve",
  401: "Enter an API key above.",
  403: "This needs a key that allows it, or a browser on the machine of the service.",
  413: "Try a smaller image.",
  429: "It is tried again by itself.",
  503: "See the log of the service, then try again.",
};

export const keyed = () => byId("key").value !== "";

export async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const key = byId("key").value;
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service does not answer.", { help: HELP[0] });
  }
  if (response.status === 401 || response.status === 403) byId("key-field").hidden = false;
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const seconds = Number(response.headers.get("Retry-After"));
  throw new Problem(answer?.error?.message ?? `The service answered with status ${response.status}.`, {
    status: response.status,
    help: HELP[response.status] ?? "",
    retryAfter: response.status === 429 ? Math.max(1, seconds || 1) : null,
  });
}

export const json = async (path, options) => (await ask(path, options)).json();

export const post = (path, body, options = {}) =>
  json(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

// An image element sends no key, so that with a key the page asks for the file itself.
export async function load(image, id) {
  const path = `/items/${encodeURIComponent(id)}/image`;
  if (!keyed()) {
    image.src = path;
    return;
  }
  const content = await (await ask(path)).blob();
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  image.src = URL.createObjectURL(content);
}

export async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  }
  return btoa(text);
}
