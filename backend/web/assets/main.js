// Who looks, where they are, and the frame around it.
import { DialogHost } from "./actions.js";
import { Alerts } from "./alerts.js";
import { forgetAnswers } from "./answers.js";
import { connection, get } from "./api.js";
import { Coverage } from "./coverage.js";
import { Execution } from "./execution.js";
import { percent, timeOf } from "./format.js";
import { History } from "./history.js";
import { forgetFor, refresh, useLive } from "./live.js";
import { Login } from "./login.js";
import { Overview } from "./overview.js";
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { Rejected } from "./rejected.js";
import { nameView, route, viewName } from "./router.js";
import { Schedules } from "./schedules.js";
import { session } from "./session.js";
import { ThemeSwitch } from "./theme-switch.js";
import { announce, Announcer, Badge, Button, Card, Empty, Icon, Skeleton, Toasts, Trouble } from "./ui.js";
import { STATUS } from "./words.js";

// A view whose file is loaded when it is first drawn
function later(load, name) {
  let View = null;
  return function Later(properties) {
    const [, redraw] = useState(0);
    const [trouble, tell] = useState(null);
    useEffect(() => {
      if (View) return;
      load().then(
        (file) => {
          View = file[name];
          redraw((n) => n + 1);
        },
        () => tell(new Error("Esta parte da página não pôde ser carregada. Recarregue a página.")),
      );
    }, []);
    if (View) return html`<${View} ...${properties} />`;
    return trouble ? html`<${Trouble} error=${trouble} />` : html`<${Skeleton} lines=${6} />`;
  };
}

const [Deliveries, Destination, Job] = ["Deliveries", "Destination", "Job"].map((name) => later(() => import("./deliveries.js"), name));
const [Imports, ImportView] = ["Imports", "ImportView"].map((name) => later(() => import("./imports.js"), name));
const [Registers, RecordView] = ["Registers", "RecordView"].map((name) => later(() => import("./registers.js"), name));
const Reconciliation = later(() => import("./reconciliation.js"), "Reconciliation");
const OPERATION = [
  ["/", "Painel", Overview],
  ["/historico", "Histórico", History],
  ["/cobertura", "Cobertura", Coverage],
  ["/agenda", "Agenda", Schedules],
  ["/rejeitados", "Rejeitados", Rejected],
  ["/entradas", "Entradas", Imports],
  ["/cadastros", "Cadastros", Registers],
  ["/conciliacao", "Conciliação", Reconciliation],
  ["/entregas", "Entregas", Deliveries],
  ["/alertas", "Alertas", Alerts],
];
// The views of the data are loaded when one is opened.
const [Exports, Files, Market, PartyView, Prices, Process, Records, SavedSearches] = [
  later(() => import("./exports.js"), "Exports"),
  later(() => import("./files.js"), "Files"),
  later(() => import("./market.js"), "Market"),
  later(() => import("./party.js"), "PartyView"),
  later(() => import("./prices.js"), "Prices"),
  later(() => import("./process.js"), "Process"),
  later(() => import("./records.js"), "Records"),
  later(() => import("./saved-searches.js"), "SavedSearches"),
];
const listOf = (place) => () => html`<${Records} key=${place} place=${place} />`;
const DATA = [
  ["/dados", "Visão geral", Market],
  ["/contratacoes", "Contratações", listOf("contratacoes")],
  ["/contratos", "Contratos", listOf("contratos")],
  ["/atas", "Atas", listOf("atas")],
  ["/itens", "Itens", listOf("itens")],
  ["/pca", "Planos (PCA)", listOf("pca")],
  ["/precos", "Preços", Prices],
  ["/buscas", "Buscas salvas", SavedSearches],
  ["/exportacoes", "Exportações", Exports],
  ["/arquivos", "Arquivos", Files],
];
const PLACES = [...OPERATION, ...DATA];
// The views of one record, by the first part of the address: the place in the navigation that they belong to.
const RECORDS = {
  contratacao: ["/contratacoes", Process],
  contrato: ["/contratos", Process],
  ata: ["/atas", Process],
  plano: ["/pca", Process],
  fornecedor: ["/contratos", PartyView],
  orgao: ["/contratacoes", PartyView],
  entrega: ["/entregas", Destination],
  trabalho: ["/entregas", Job],
  importacao: ["/entradas", ImportView],
  cadastro: ["/cadastros", RecordView],
};

async function enter() {
  const user = await get("/auth/me");
  forgetFor(user);
  forgetAnswers();
  session.enter(user);
}

function Page() {
  const { state } = session.use();
  const [trouble, tell] = useState(null);
  const { state: line } = connection.use();
  useEffect(() => {
    if (state !== "unknown") return undefined;
    let timer;
    const attempt = () =>
      enter()
        .then(() => tell(null))
        .catch((error) => {
          if (error.status === 401) return;
          tell(error);
          timer = setTimeout(attempt, Math.max(error.retryAfter * 1000, 2000));
        });
    attempt();
    return () => clearTimeout(timer);
  }, [state]);
  if (state === "login") return html`<${Login} enter=${enter} /><${Toasts} />`;
  if (state === "unknown")
    return (
      trouble &&
      html`<main class="boot" id="content">
        <${Empty} title=${line === "unreachable" ? "O servidor não responde" : "Ainda não foi possível abrir a página"} icon="error"><span role="status">${trouble.message} Tentando de novo…</span>
        <//></main>`
    );
  return html`<${Frame} />`;
}

function Frame() {
  const here = route.use();
  const { state: line } = connection.use();
  const content = useRef();
  const first = useRef(true);
  const place = PLACES.find(([path]) => path === `/${here.parts[0] ?? ""}`);
  const id = here.parts[0] === "execucoes" && /^\d+$/.test(here.parts[1] ?? "") ? here.parts[1] : null;
  const [parent, OneView] = (here.parts.length > 1 && RECORDS[here.parts[0]]) || [];
  const key = id ? `execution ${id}` : (place?.[0] ?? here.path);
  const active = id ? "/historico" : (parent ?? place?.[0]);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    content.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [key]);
  if (!OneView && viewName.get()) nameView("");
  return html`
    <a class="skip" href="#content" onClick=${(event) => (event.preventDefault(), content.current.focus())}>Pular para o conteúdo</a>
    <${Header} active=${active} />
    <${Line} />
    <${Simulated} />
    <main id="content" tabindex="-1" ref=${content} key=${key} class=${line === "ok" ? "" : "stale"}>
      ${
        id
          ? html`<${Execution} id=${id} />`
          : place
            ? html`<${place[2]} />`
            : OneView
              ? html`<${OneView} parts=${here.parts} />`
            : html`<${Card}><${Empty} title="Não há nada neste endereço" icon="error"><a href="#/">Voltar ao painel</a>
        <//><//>`
      }
    </main>
    <${Foot} />
    <${Watch} name=${id ? `Execução ${id}` : OneView ? viewName.use() : (place?.[1] ?? "")} />
    <${DialogHost} /><${Toasts} /><${Announcer} />`;
}

function Header({ active }) {
  const { user } = session.use();
  const { data } = useLive("/sync/alerts", 60000);
  const open = (data?.alerts ?? []).filter((one) => !one.resolved_at).length;
  const places = useRef();
  // on a phone the places do not fit beside each other
  useEffect(() => {
    const current = places.current.querySelector("[aria-current]");
    if (current) places.current.scrollLeft = current.offsetLeft - (places.current.clientWidth - current.offsetWidth) / 2;
  }, [active]);
  const isData = DATA.some(([path]) => path === active);
  const alarm = (path) => path === "/alertas" && open > 0 && html` <span class="count bad">${open}<span class="unseen"> em aberto</span></span>`;
  return html`<header class="top"><div class="top-inner">
    <a class="brand" href="#/" aria-label="PNCP Sync, painel"><img src="/assets/icon.svg" alt="" width="26" height="26" />
      <span>PNCP Sync</span></a>
    <nav class="areas" aria-label="Áreas"><ul>
      <li><a href="#/dados" aria-current=${isData ? "true" : undefined}>Dados</a></li>
      <li><a href="#/" aria-current=${isData ? undefined : "true"}>Operação${isData && alarm("/alertas")}</a></li></ul></nav>
    <div class="top-end">
      ${user.role === "viewer" && html`<${Badge} tone="quiet" title="Você vê tudo e não muda nada">somente leitura<//>`}
      <${ThemeSwitch} />
      ${
        user.authentication &&
        html`<span class="who" title=${user.role === "admin" ? "administrador" : "leitor"}>${user.username}</span>
        <button type="button" class="ghost" aria-label="Sair" title="Sair" onClick=${() => session.leave()}><${Icon} name="exit" />
        </button>`
      }
    </div>
    <nav class="places" aria-label="Principal" ref=${places}>
      <ul>${(isData ? DATA : OPERATION).map(
        ([path, name]) =>
          html`<li key=${path}><a href=${`#${path}`} aria-current=${active === path ? "page" : undefined}>${name}${alarm(path)}</a></li>`,
      )}</ul></nav></div></header>`;
}

const useAbout = () => useLive("/about", 3600000).data;

// Where the records are not the portal's, they are not taken for such.
function Simulated() {
  const about = useAbout();
  return (
    about?.portal_is_simulated &&
    html`<aside class="simulated" aria-label="Portal simulado"><strong>Portal simulado.</strong> Os registros não vêm do PNCP, e sim de <span class="mono">${about.portal_url}</span>.</aside>`
  );
}

const DOCUMENTATION = [
  ["/docs", "API (Swagger)"],
  ["/redoc", "API (ReDoc)"],
  ["/openapi.json", "OpenAPI"],
];

function Foot() {
  const about = useAbout();
  return html`<footer class="foot"><span>PNCP Sync${about ? ` ${about.version}` : ""} — horários de Brasília</span>
    ${about?.has_documentation && html`<nav aria-label="Documentação">${DOCUMENTATION.map(([path, name]) => html`<a key=${path} href=${path}>${name}</a>`)}</nav>`}
    </footer>`;
}

const LINES = {
  unreachable: ["Sem conexão com o servidor. Reconectando…", "O que se vê é das"],
  database: ["O banco de dados está fora do ar. Tentando de novo…", "O que se vê é das"],
};

function Line() {
  const { state, since } = connection.use();
  const [text, age] = LINES[state] ?? [];
  return html`<div role="alert">${
    text &&
    html`<div class="line"><div><span class="dot warn pulse"></span>
    <strong>${text}</strong> <span>${age} ${timeOf(since)}.</span></div>
    <${Button} kind="small" icon="refresh" onClick=${() => refresh("/")}>Tentar agora<//></div>`
  }</div>`;
}

// The tab's title, and what is said aloud when an execution ends.
function Watch({ name }) {
  const { data } = useLive("/sync/dashboard", (known) => (known?.unfinished.length ? 6000 : 20000));
  const before = useRef(new Map());
  const unfinished = data?.unfinished;
  useEffect(() => {
    if (!data) return;
    const ids = new Set(unfinished.map((one) => one.id));
    const ended = [...before.current.keys()].filter((id) => !ids.has(id));
    before.current = new Map(unfinished.map((one) => [one.id, one]));
    if (!ended.length) return;
    const { current_status: last } = data;
    const told = ended.includes(last.execution_id)
      ? `A execução ${last.execution_id} terminou: ${last.cause === "cancelled" ? "cancelada" : STATUS[last.status]}.`
      : `Terminou a execução ${ended.join(", ")}.`;
    announce(told);
    refresh("/sync/history", "/sync/coverage", "/sync/executions", "/sync/timeline", "/sync/goals");
  }, [data]);
  const share = unfinished?.length ? `${percent(Math.floor(unfinished[0].progress.percent))} · ` : "";
  useEffect(() => {
    document.title = `${share}${name ? `${name} · ` : ""}PNCP Sync`;
  }, [share, name]);
  return null;
}

const page = document.getElementById("page");
page.replaceChildren();
render(html`<${Page} />`, page);
