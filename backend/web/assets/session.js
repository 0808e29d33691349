// Who looks at the page: the token, kept for this tab alone and never in an address, and the role.
import { store } from "./store.js";

const KEY = "pncp-token";
let kept = null; // where storage is forbidden

function read() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return kept;
  }
}

function write(token) {
  kept = token;
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // then for as long as the page is open
  }
}

// state: "unknown", "login" or "in"
const current = store({ state: "unknown", user: null, note: "" });

export const session = {
  use: current.use,
  get: current.get,
  token: read,
  enter(user, token) {
    if (token) write(token);
    current.set({ state: "in", user, note: "" });
  },
  keep: write,
  expire(hadToken) {
    write(null);
    const note = hadToken ? "A sessão terminou. Entre de novo para continuar de onde estava." : "";
    current.set({ state: "login", user: null, note: note || current.get().note });
  },
  leave() {
    write(null);
    current.set({ state: "login", user: null, note: "Você saiu." });
  },
};

export const READ_ONLY = "Só um administrador pode fazer isto; você entrou como leitor.";
export const mayWrite = () => current.get().user?.role === "admin";
// Whether the user may hand in rows of a layout; of any, where none is named.
export function mayTakeIn(layout) {
  const scopes = current.get().user?.scopes ?? [];
  if (mayWrite() || scopes.includes("admin") || scopes.includes("intake:*")) return true;
  return layout ? scopes.includes(`intake:${layout}`) : scopes.some((one) => one.startsWith("intake:"));
}
