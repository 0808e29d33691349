// The address after the #: where one is, and with which filters. "#/historico?status=error"
import { store } from "./store.js";

function parse() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  return {
    path: path || "/",
    parts: path.split("/").filter(Boolean),
    query: Object.fromEntries(new URLSearchParams(query)),
    parameters: new URLSearchParams(query), // where a name may stand several times
  };
}

export const route = store(parse());
addEventListener("hashchange", () => route.set(parse()));

export function hashOf(path, query = {}) {
  const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const given = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

export function go(path, query = {}) {
  location.hash = hashOf(path, query);
}

// Another filter is no other place: the way back leads out of it.
export function refine(query) {
  const here = route.get();
  history.replaceState(null, "", hashOf(here.path, { ...here.query, ...query }));
  route.set(parse());
}

// What a view is called, in the tab's title.
export const viewName = store("");
export const nameView = (name) => viewName.set(name);
