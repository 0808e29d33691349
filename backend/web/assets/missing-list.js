// A list of one record that the mirror lacks: asked for, and waited for until an ingestor has read it.
import { get, request } from "./api.js";
import { timeOf } from "./format.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { Button } from "./ui.js";

const EVERY = 2000;
const AT_MOST = 60000;

const MISSING = {
  falta: "A lista ainda não veio do portal.",
  "fora do escopo": "Esta lista não é lida do portal para este registro (fora do escopo configurado).",
};
export const isMissing = (section) => Boolean(section && MISSING[section.situacao]);

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// What of a record's answer is missing, with the button that has it read. `name` is that of the list in the answer,
// `title` what people call it, `path` where the answer is, and `replace` takes a newer one.
export function Missing({ name, title, data, path, replace }) {
  const section = data.listas[name];
  const [state, set] = useState({ isBusy: false, trouble: "" });
  const isShown = useRef(true);
  useEffect(() => () => (isShown.current = false), []);
  if (!isMissing(section)) return null;
  const ask = async () => {
    set({ isBusy: true, trouble: "" });
    let trouble = "";
    try {
      await request("POST", "/sync/lists", { json: { list: section.lista, numero_controle_pncp: data.registro.numero_controle_pncp } });
      trouble = await waitFor(name, path, replace, isShown);
    } catch (error) {
      trouble = error.message;
    }
    if (isShown.current) set({ isBusy: false, trouble });
  };
  return html`<div class="missing"><p class="calm" role="status">${state.isBusy ? "Pedida ao portal: um ingestor a lê em segundos…" : MISSING[section.situacao]}</p>
    ${section.lista && html`<${Button} kind="small" icon="refresh" label=${`Ler do portal agora: ${title}`} busy=${state.isBusy} onClick=${ask}>Ler do portal agora<//>`}
    <div role="alert">${state.trouble && html`<p class="note warn">${state.trouble}</p>`}</div></div>`;
}

// Ask for the record until its list has come; answers why it has not, after a minute.
async function waitFor(name, path, replace, isShown) {
  for (const until = Date.now() + AT_MOST; isShown.current && Date.now() < until; ) {
    await pause(EVERY);
    const data = await get(path);
    if (!isShown.current) return "";
    replace(data);
    if (!isMissing(data.listas[name])) return "";
  }
  return isShown.current ? reasonOf(name, await get(path)) : "";
}

async function reasonOf(name, data) {
  const { workers, source } = await get("/sync/dashboard");
  if (!workers.length) return "Nenhum ingestor ativo: a lista será lida quando um voltar.";
  const paused = source.find((one) => one.service === data.listas[name].lista);
  if (paused) return `O portal não responde a este pedido; o ingestor tenta de novo às ${timeOf(paused.next_try_at)}.`;
  if (name === "resultados" && isMissing(data.listas.itens)) return "Os itens ainda não vieram do portal, e são eles que dizem quais têm resultado.";
  return "O portal ainda não respondeu com a lista; ela aparece aqui quando vier.";
}
