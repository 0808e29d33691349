// Requests to the backend: the token, the errors, and whether it can be reached at all.
import { setServerTime } from "./format.js";
import { session } from "./session.js";
import { store } from "./store.js";

const TIMEOUT = 20000;

// "ok", "unreachable" (no answer), "database" (503 of the database)
export const connection = store({ state: "ok", since: 0 });

export class ApiError extends Error {
  constructor(detail, { status = 0, retryAfter = 0, path = "", errors = [], rejected = [] } = {}) {
    super(detail);
    this.rejected = rejected;
    this.errors = errors;
    this.status = status;
    this.retryAfter = retryAfter;
    this.path = path;
  }

  // What is wrong with each of these fields: {name: sentence}
  faultsOf(names) {
    const own = this.errors.filter((one) => names.includes(one.field?.split(".").at(-1)));
    return Object.fromEntries(own.map((one) => [one.field.split(".").at(-1), one.message]));
  }

  get isUnreachable() {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

// `json` is written as JSON; `written` is JSON already, whose numbers may have more digits than ours. `asText`: the
// answer is not read, for the same reason.
export async function request(method, path, { json, written, form, key, asText = false } = {}) {
  // the header tells the backend not to have the browser ask for a password in a window of its own
  const headers = { "X-Requested-With": "fetch", Accept: "application/json", "Accept-Language": "pt-BR" };
  const token = session.token();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined || written !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const body = written ?? (json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form) : undefined);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
  } catch {
    note("unreachable");
    throw new ApiError("O servidor não responde.", { path });
  }
  setServerTime(answer.headers.get("Date"));
  const content = asText && answer.ok ? await answer.text() : await parse(answer);
  if (answer.ok) {
    if (path !== "/auth/me") note("ok"); // which asks no database
    return content;
  }
  const error = new ApiError(content?.detail ?? `O servidor respondeu ${answer.status}.`, {
    status: answer.status,
    retryAfter: Number(answer.headers.get("Retry-After")) || 0,
    path,
    errors: content?.errors,
    rejected: content?.rejected,
  });
  if (error.isUnreachable) note("unreachable");
  else if (answer.status === 503 && content?.code === "database_away") note("database");
  if (answer.status === 401 && path !== "/auth/token") session.expire(Boolean(token));
  throw error;
}

export const get = (path) => request("GET", path);

// Send a file as it is; `progress` is given the share that has been sent. fetch() says nothing of that.
export function upload(path, file, progress) {
  const token = session.token();
  const sending = new XMLHttpRequest();
  sending.open("PUT", path);
  sending.responseType = "json";
  for (const [name, value] of Object.entries({ "X-Requested-With": "fetch", Accept: "application/json", "Accept-Language": "pt-BR", "Content-Type": "application/octet-stream" })) sending.setRequestHeader(name, value);
  if (token) sending.setRequestHeader("Authorization", `Bearer ${token}`);
  sending.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
  return new Promise((resolve, reject) => {
    sending.onload = () => {
      const { status, response } = sending;
      if (status >= 200 && status < 300) {
        resolve(response);
        return;
      }
      if (status === 401) session.expire(Boolean(token));
      const error = new ApiError(response?.detail ?? `O servidor respondeu ${status}.`, { status, retryAfter: Number(sending.getResponseHeader("Retry-After")) || 0, path, errors: response?.errors });
      error.location = sending.getResponseHeader("Location");
      reject(error);
    };
    sending.onerror = () => {
      note("unreachable");
      reject(new ApiError("O envio foi interrompido. Nada foi importado; envie de novo.", { path }));
    };
    sending.send(file);
  });
}

// Save an answer as a file. The token stands in no address, so that the browser cannot fetch it by itself.
export async function download(path, name) {
  const token = session.token();
  const headers = { "X-Requested-With": "fetch", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { headers, cache: "no-store" });
  } catch {
    note("unreachable");
    throw new ApiError("O servidor não responde.", { path });
  }
  if (!answer.ok) {
    if (answer.status === 401) session.expire(Boolean(token));
    const content = await parse(answer);
    throw new ApiError(content?.detail ?? `O servidor respondeu ${answer.status}.`, { status: answer.status, path });
  }
  let content;
  try {
    content = await answer.blob();
  } catch {
    throw new ApiError("O arquivo não chegou até o fim. Peça de novo.", { path });
  }
  const said = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = said ?? name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  return { name: link.download, bytes: content.size, rows: Number(answer.headers.get("X-Total-Registros")) || null };
}

function note(state) {
  const known = connection.get();
  if (known.state !== state) connection.set({ state, since: Date.now() });
}

async function parse(answer) {
  try {
    return await answer.json();
  } catch {
    return null; // a proxy's page, or nothing
  }
}

// A name for a request, so that sending it twice starts one execution. crypto.randomUUID wants https.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A path with its parameters, without the empty ones.
export function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
