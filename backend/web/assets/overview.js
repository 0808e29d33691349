// The first sight: the verdict, what wants attention, what runs, what can be done; then how it has gone lately.
import { askUpdate, update } from "./actions.js";
import { askBackfill } from "./backfill.js";
import { addDays, bytes, compact, duration, integer, plural, timeOf, today, when } from "./format.js";
import { askGoal, useGoals } from "./goals.js";
import { ExecutionTable } from "./history.js";
import { refresh, useLive, useTick } from "./live.js";
import { html } from "./preact.js";
import { Published } from "./published.js";
import { useResources } from "./resources.js";
import { hashOf } from "./router.js";
import { Running } from "./running.js";
import { TimelineCard } from "./timeline.js";
import { Ago, Badge, Button, Card, Empty, Skeleton, Trouble, When } from "./ui.js";
import { TONES, Troubles, Verdict } from "./verdict.js";
import { schedule } from "./words.js";

const BUSY = 2000;
const CALM = 15000;

export function Overview() {
  const { data: dashboard, error, at } = useLive("/sync/dashboard", (data) => (data?.unfinished.length ? BUSY : CALM));
  const { data: agenda } = useLive("/sync/schedules", 30000);
  const { data: health } = useLive("/health", 20000);
  useTick(5000);
  if (!dashboard)
    return error
      ? html`<${Trouble} error=${error} again=${() => refresh("/sync/dashboard")} />`
      : html`<${FirstLoad} />`;
  const schedules = agenda?.schedules;
  const { verdict } = dashboard;
  const isNew = !dashboard.total_executions;
  const busy = dashboard.unfinished.length > 0;
  return html`
    <${Verdict} verdict=${verdict} />
    <${Troubles} troubles=${verdict.troubles} facts=${verdict.facts} />
    ${isNew ? html`<${Welcome} />` : html`<${Cards} dashboard=${dashboard} schedules=${schedules} />`}
    <div class="columns">
      <div class="stack">
        <${Now} dashboard=${dashboard} at=${at} schedules=${schedules} />
        ${!isNew && html`<${TimelineCard} busy=${busy} />`}
        ${!isNew && html`<${Published} busy=${busy} />`}
        ${!isNew && html`<${Lists} lists=${dashboard.lists_owed} />`}
      </div>
      <div class="stack">
        <${ResourceList} verdict=${verdict} />
        <${Agenda} schedules=${schedules} />
        <${Parts} dashboard=${dashboard} health=${health} />
      </div>
    </div>
    ${!isNew && html`<${Latest} busy=${busy} />`}`;
}

const FirstLoad = () => html`<h1 class="unseen">Painel</h1><div class="verdict-facts"><${Skeleton} lines=${1} /><ul class="fact-cards">${[1, 2, 3].map(
  (n) => html`<li class="card fact" key=${n}><${Skeleton} lines=${3} /></li>`,
)}</ul></div>
  <div class="columns"><div class="card"><${Skeleton} height=${220} /></div><div class="card"><${Skeleton} lines=${5} /></div></div>`;

const Welcome =
  () => html`<section class="card welcome" aria-labelledby="welcome-title"><h2 id="welcome-title">Por onde começar</h2>
  <ol><li><strong>Diga desde quando o espelho deve estar completo.</strong> O que faltar é lido aos poucos, do mais novo ao mais antigo.</li>
    <li><strong>Deixe a agenda trabalhar.</strong> As atualizações trazem o que muda; uma varredura por noite confere os dias fechados.</li>
    <li><strong>Tem pressa?</strong> Carregue só alguns dias agora.</li></ol>
  <div class="card-actions"><${Button} writes kind="primary" icon="calendar" onClick=${() => askGoal()}>Manter completo desde…<//>
    <${Button} writes onClick=${() => askBackfill({ first: addDays(today(), -7), last: addDays(today(), -1) })}>Carregar os últimos 7 dias<//></div>
    </section>`;

// What can be done next, and what it is about.
function Cards({ dashboard, schedules }) {
  const resources = useResources();
  const goals = useGoals();
  const set = (goals ?? []).filter((one) => one.from_day);
  const missing = set.reduce((sum, one) => sum + one.days_missing, 0);
  const hours = set.reduce((sum, one) => sum + (one.hours_left ?? 0), 0);
  const next = nextOf(schedules);
  const main = dashboard.mirror.find((one) => one.table === "contratacoes");
  const rejected = dashboard.rejections.records;
  return html`<section class="figures-row" aria-label="O que fazer">
    <div class="card figure"><h2>Próxima atualização</h2>
      <p class="figure-value">${next ? timeOf(next.next_runs[0]) : "nenhuma"}</p>
      <p class="muted">${next ? schedule(next).name : "a agenda está desligada ou em pausa"}</p>
      <${Button} writes kind="small primary" icon="refresh" onClick=${() => update(resources.filter((one) => one.is_scheduled))}>Atualizar agora<//></div>
    <div class="card figure"><h2>Dias que faltam</h2>
      <p class="figure-value">${set.length ? integer(missing) : "—"}</p>
      <p class="muted">${set.length ? (missing ? (hours ? `≈ ${duration(hours * 3600)} de leitura` : "aguardando a vez") : "tudo o que foi pedido está lido") : "nenhuma meta definida"}</p>
      ${set.length ? html`<a class="button small" href="#/cobertura">Ver cobertura</a>` : html`<${Button} writes kind="small" icon="calendar" onClick=${() => askGoal()}>Manter completo desde…<//>`}</div>
    <div class="card figure"><h2>Registros rejeitados</h2>
      <p class="figure-value">${integer(rejected)}</p>
      <p class="muted">${rejected ? `em ${plural(dashboard.rejections.days, "dia", "dias")}, dos últimos 35` : "nenhum nos últimos 35 dias"}</p>
      <a class="button small" href="#/rejeitados">Ver por quê</a></div>
    <div class="card figure"><h2>Contratações no espelho</h2>
      <p class="figure-value">${main.exact ? "" : "≈ "}${compact(main.rows)}</p>
      <p class="muted">${plural(dashboard.last_24h_executions, "execução", "execuções")} em 24 h</p>
      <a class="button small" href="#/contratacoes">Ver os dados</a></div>
  </section>`;
}

const nextOf = (schedules) =>
  (schedules ?? [])
    .filter((one) => one.enabled && !one.paused && one.next_runs[0])
    .sort((a, b) => a.next_runs[0].localeCompare(b.next_runs[0]))[0];

function Now({ dashboard, at, schedules }) {
  const { unfinished } = dashboard;
  const next = nextOf(schedules);
  return html`<${Card} id="now" title="Em andamento" aside=${
    unfinished.length > 0
      ? html`<span class="live"><span class="dot busy pulse"></span>ao vivo</span>`
      : html`<${Button} writes kind="small" icon="calendar" onClick=${() => askBackfill()}>Carregar período<//>`
  }>
    ${
      unfinished.length
        ? html`${unfinished.map((one) => html`<${Running} key=${one.id} execution=${one} at=${at} />`)}
          <div class="card-actions"><${Button} writes kind="small" icon="calendar" onClick=${() => askBackfill()}>Carregar período<//></div>`
        : html`<p class="calm">Nada em andamento.${next ? ` Próxima: ${schedule(next).name.toLowerCase()} ${when(next.next_runs[0])}.` : ""}</p>`
    }<//>`;
}

// Each resource: until when, whether all days are there, and its own update.
const ResourceList = ({ verdict }) =>
  verdict.resources.length > 0 &&
  html`<${Card} id="resources" title="Recursos" aside=${html`<a href="#/cobertura">Cobertura</a>`}><ul class="rows">${verdict.resources.map(
    (one) => html`<li key=${one.resource}><div>
      <p><strong>${one.label}</strong></p>
      <p><span class="dot ${TONES[one.fresh.state]}"></span>${one.fresh.title}</p>
      <p><span class="dot ${TONES[one.complete.state]}"></span><a class="quiet" href=${hashOf("/cobertura", { recurso: one.resource })}>${one.complete.title}</a></p></div>
      <span class="row-end"><${Button} writes kind="small" icon="refresh" label=${`Atualizar: ${one.label}`} onClick=${() => update([{ name: one.resource, label: one.label }])}>Atualizar<//></span></li>`,
  )}</ul>
  ${verdict.resources.length > 1 && html`<div class="card-actions"><${Button} writes kind="small" onClick=${() => askUpdate(verdict.resources.map((one) => ({ name: one.resource, label: one.label })))}>Atualizar vários…<//></div>`}<//>`;

const MOST_SCHEDULES = 5;

// All of them where they are few; else those that are paused, and what comes next.
function Agenda({ schedules }) {
  const shown =
    (schedules?.length ?? 0) <= MOST_SCHEDULES
      ? schedules
      : [...schedules]
          .sort((a, b) => b.paused - a.paused || (a.next_runs[0] ?? "~").localeCompare(b.next_runs[0] ?? "~"))
          .slice(0, MOST_SCHEDULES);
  return html`<${Card} id="agenda" title="Agenda" aside=${html`<a href="#/agenda">Gerenciar</a>`}>
    ${
      schedules
        ? html`<ul class="rows">${shown.map(
            (one) => html`<li key=${one.name}><div><strong>${schedule(one).name}</strong>
              <p class="muted">${lastOf(one)}</p></div>
          <div class="row-end">${one.paused ? html`<${Badge} tone="warn">em pausa<//>` : !one.enabled ? html`<${Badge} tone="quiet">desligada<//>` : html`<${When} moment=${one.next_runs[0]} />`}</div>
            </li>`,
          )}</ul>${schedules.length > shown.length && html`<p class="muted">e mais ${schedules.length - shown.length} na agenda</p>`}`
        : html`<${Skeleton} lines=${3} />`
    }<//>`;
}

function lastOf({ last_tick: last }) {
  if (!last) return "Ainda não executou";
  if (last.skipped_reason) return `Não executou às ${timeOf(last.due_at)}: ${last.skipped_reason}`;
  return html`Última: ${when(last.due_at)}, ${last.execution_ids.map((id, n) => html`${n ? ", " : ""}<a href=${hashOf(`/execucoes/${id}`)}>execução ${id}</a>`)}`;
}

const DATABASE = { connected: ["good", "no ar"], failing: ["bad", "não grava"], "read-only": ["bad", "só leitura"], disconnected: ["bad", "fora do ar"] };
const BROKER = { connected: ["good", "no ar"], disconnected: ["bad", "fora do ar"], disabled: ["quiet", "não usado"] };
const UNKNOWN = ["quiet", "…"];

function Parts({ dashboard, health }) {
  const count = dashboard.workers.length;
  const parts = [
    ["Banco de dados", ...(DATABASE[health?.database] ?? UNKNOWN)],
    ["RabbitMQ", ...(BROKER[health?.broker] ?? UNKNOWN)],
    ["Ingestores", count ? "good" : "bad", count ? plural(count, "ativo", "ativos") : "nenhum ativo"],
    ["Portal", ...portalOf(dashboard)],
  ];
  return html`<${Card} id="health" title="Saúde"><ul class="rows">${parts.map(
    ([name, tone, text]) => html`<li key=${name}><span>${name}</span>
    <span class="row-end wraps"><span class="dot ${tone}"></span>${text}</span></li>`,
  )}</ul>
    <details class="more"><summary>Ingestores e tabelas</summary>
      <ul class="rows">${dashboard.workers.map(
        (one) => html`<li key=${one.id}><span class="mono clip" title=${one.id}>${one.id}</span>
        <span class="row-end muted">${plural(one.slices_running, "fatia", "fatias")}</span></li>`,
      )}
      ${dashboard.mirror.map(
        (one) => html`<li key=${one.table}><span>${one.label}</span>
        <span class="row-end">${one.exact ? "" : "≈ "}${integer(one.rows)} <span class="muted">${bytes(one.bytes)}</span></span></li>`,
      )}</ul></details><//>`;
}

const REASON = {
  down: "não responde",
  refused: "recusa os pedidos",
  blocked: "bloqueia os pedidos",
  throttled: "pediu uma pausa",
};

function portalOf({ source, unfinished, workers }) {
  if (!workers.length) return ["quiet", "não se sabe"];
  if (source.length) return ["warn", REASON[source[0].reason] ?? REASON.throttled];
  return unfinished.some((one) => one.waiting) ? ["warn", "está falhando; novas tentativas automáticas"] : ["good", "responde"];
}

const SCOPE = { nenhum: "de nenhum registro", tudo: "de todos os registros" };

// Lists that are only ever read later than their records: of which, and what is still to be read.
const Lists = ({ lists }) => html`<${Card} id="lists" title="Listas lidas depois"><ul class="rows">${lists.map(
  (one) => {
    const isEstimated = one.set_aside === null;
    const facts = [
      SCOPE[one.scope] ?? `só ${one.scope.replace(/[,;]/g, "$& ")}`,
      one.requests > 0 && plural(one.requests, "pedido", "pedidos"),
      one.set_aside > 0 && `${integer(one.set_aside)} de lado`,
    ];
    return html`<li key=${`${one.list} ${one.resource}`}><div>${one.label}<p class="muted">${facts.filter(Boolean).join(" · ")}</p></div>
      <div class="row-end">${
        one.owed
          ? html`${isEstimated ? "≈ " : ""}${integer(one.owed)} por ler${one.since && html`<p class="muted"><${Ago} moment=${one.since} /></p>`}`
          : one.scope === "nenhum"
            ? html`<${Badge} tone="quiet">não lida<//>`
            : html`<${Badge} tone="good">em dia<//>`
      }</div></li>`;
  },
)}</ul><//>`;

function Latest({ busy }) {
  const { data } = useLive("/sync/history?limit=8", busy ? 6000 : 30000);
  return html`<${Card} id="latest" title="Últimas execuções" aside=${html`<a href="#/historico">Histórico completo</a>`}>
    ${data ? (data.executions.length ? html`<${ExecutionTable} executions=${data.executions} caption="As oito execuções mais novas" />` : html`<${Empty} title="Nenhuma execução" />`) : html`<${Skeleton} lines=${5} />`}<//>`;
}
