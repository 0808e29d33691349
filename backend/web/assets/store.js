// A value that components watch.
import { useEffect, useState } from "./preact.js";

export function store(initial) {
  let value = initial;
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    use() {
      const [, redraw] = useState(0);
      useEffect(() => {
        const listener = () => redraw((n) => n + 1);
        listener(); // it may have changed between the first drawing and now
        listeners.add(listener);
        return () => listeners.delete(listener);
      }, []);
      return value;
    },
  };
}
