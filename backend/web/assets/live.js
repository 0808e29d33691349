// Data that stays fresh: asked for again and again, in step for all who watch it, and not at all in a hidden tab.
import { get } from "./api.js";
import { useEffect, useState } from "./preact.js";

const resources = new Map();
const LONGEST_WAIT = 30000;

class Resource {
  constructor(path) {
    this.path = path;
    this.state = { data: null, error: null, at: 0 };
    this.watchers = new Set();
    this.timer = 0;
    this.failures = 0;
    this.notBefore = 0;
    this.asking = null;
  }

  watch(watcher) {
    this.watchers.add(watcher);
    this.plan(this.state.at ? Math.max(0, this.state.at + this.interval() - Date.now()) : 0);
    return () => {
      this.watchers.delete(watcher);
      if (!this.watchers.size) clearTimeout(this.timer);
    };
  }

  interval() {
    return Math.min(...[...this.watchers].map((watcher) => watcher.every(this.state.data)));
  }

  plan(wait) {
    clearTimeout(this.timer);
    if (!this.watchers.size || document.hidden || !Number.isFinite(wait)) return;
    const earliest = Math.max(0, this.notBefore - Date.now());
    this.timer = setTimeout(() => this.ask(), Math.max(wait, earliest));
  }

  ask() {
    this.asking ??= this.load().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  async load() {
    clearTimeout(this.timer);
    let wait;
    try {
      const data = await get(this.path);
      this.failures = 0;
      this.state = { data, error: null, at: Date.now() };
      wait = this.watchers.size ? this.interval() : Infinity;
    } catch (error) {
      this.failures += 1;
      this.state = { ...this.state, error };
      if (error.retryAfter) this.notBefore = Date.now() + error.retryAfter * 1000;
      wait = error.status === 401 ? Infinity : Math.min(1000 * 2 ** this.failures, LONGEST_WAIT);
      if (error.status === 404 || error.status === 422) wait = LONGEST_WAIT;
    }
    for (const watcher of [...this.watchers]) watcher.redraw();
    this.plan(wait);
  }
}

function resource(path) {
  if (!resources.has(path)) {
    if (resources.size > 60) forgetUnwatched();
    resources.set(path, new Resource(path));
  }
  return resources.get(path);
}

function forgetUnwatched() {
  for (const [path, one] of resources) if (!one.watchers.size) resources.delete(path);
}

// `every`: milliseconds between two askings, or a function of the data. Answers {data, error, at}.
export function useLive(path, every = 30000) {
  const [, redraw] = useState(0);
  const pace = typeof every === "function" ? every : () => every;
  const one = path ? resource(path) : null;
  useEffect(() => one?.watch({ every: pace, redraw: () => redraw((n) => n + 1) }), [path]);
  return one ? one.state : { data: null, error: null, at: 0 };
}

// Ask again for what is watched and begins with one of these: after something was started, stopped or changed.
export function refresh(...prefixes) {
  const wanted = [...resources.values()].filter((one) => prefixes.some((prefix) => one.path.startsWith(prefix)));
  for (const one of wanted) if (!one.watchers.size) resources.delete(one.path);
  return Promise.all(wanted.filter((one) => one.watchers.size).map((one) => one.ask()));
}

document.addEventListener("visibilitychange", () => {
  for (const one of resources.values()) {
    if (document.hidden) clearTimeout(one.timer);
    else one.plan(one.state.at ? Math.max(0, one.state.at + Math.min(one.interval(), 1e9) - Date.now()) : 0);
  }
});

// What one person has seen is not another one's.
let seenAs = null;
export function forgetFor(user) {
  const name = user?.username ?? "";
  if (seenAs !== null && seenAs !== name) resources.clear();
  seenAs = name;
}

// Draws again every so often, for what counts the time.
export function useTick(milliseconds) {
  const [, redraw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || redraw((n) => n + 1), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}
