// Answers that are asked for once, and kept for the way back. What an answer leaves on the screen stays until the next.
import { get } from "./api.js";
import { useEffect, useRef, useState } from "./preact.js";
import { session } from "./session.js";

const MOST_KEPT = 60;
const FRESH_FOR = 120000;
const kept = new Map();

const keyOf = (path) => `${session.get().user?.username ?? ""} ${path}`;

export function remembered(path) {
  const known = kept.get(keyOf(path));
  return known && Date.now() - known.at < FRESH_FOR ? known.answer : null;
}

export function remember(path, answer) {
  kept.delete(keyOf(path));
  kept.set(keyOf(path), { answer, at: Date.now() });
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
}

export const forgetAnswers = () => kept.clear();

// {data, error, isLoading, again, replace}; `data` is of an earlier path while another one loads. Without a path, nothing.
export function useAnswer(path) {
  const [state, set] = useState({ path: null, data: null, error: null });
  const [turn, setTurn] = useState(0);
  const wanted = useRef(path);
  wanted.current = path;
  useEffect(() => {
    if (!path) return;
    const known = remembered(path);
    if (known) {
      set({ path, data: known, error: null });
      return;
    }
    get(path).then(
      (data) => {
        remember(path, data);
        if (wanted.current === path) set({ path, data, error: null });
      },
      (error) => wanted.current === path && set((before) => ({ path, data: before.data, error })),
    );
  }, [path, turn]);
  const again = () => {
    set((before) => ({ ...before, path: null, error: null }));
    setTurn((n) => n + 1);
  };
  // with an answer that was asked for elsewhere
  const replace = (data) => {
    remember(path, data);
    set({ path, data, error: null });
  };
  const isCurrent = state.path === path;
  return {
    data: path ? state.data : null,
    error: isCurrent ? state.error : null,
    isLoading: Boolean(path) && !isCurrent,
    again,
    replace,
  };
}
