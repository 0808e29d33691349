// Databases of others that are read: how each is, when it is read next, and what waits for a decision.
import { attempt, confirm } from "./actions.js";
import { newKey, request } from "./api.js";
import { integer, plural, when } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html } from "./preact.js";
import { Ago, Badge, Button, Card, Empty, Skeleton, toast, Trouble, When } from "./ui.js";
import { who } from "./words.js";

const STATES = {
  ok: ["good", "em ordem"],
  running: ["busy", "lendo"],
  waiting: ["warn", "esperando a fonte"],
  held: ["warn", "espera confirmação"],
  failed: ["bad", "a última leitura falhou"],
  paused: ["warn", "em pausa"],
  missing: ["quiet", "sem arquivo"],
  invalid: ["bad", "arquivo com erros"],
};
const KINDS = { oracle: "Oracle", postgresql: "PostgreSQL", mysql: "MySQL", mariadb: "MariaDB", mssql: "SQL Server", sqlite: "SQLite" };

const addressOf = (one) => `/sources/${encodeURIComponent(one.name)}`;
const afterChange = () => refresh("/sources", "/jobs", "/imports", "/sync/alerts");

export function Sources() {
  const { data, error } = useLive("/sources", (known) => (known?.sources.some((one) => one.state === "running") ? 3000 : 15000));
  if (!data) return html`<${Card} id="fontes" title="Bancos de dados">${error ? html`<${Trouble} error=${error} again=${() => refresh("/sources")} />` : html`<${Skeleton} lines=${4} />`}<//>`;
  if (!data.sources.length)
    return html`<${Card} id="fontes" title="Bancos de dados"><${Empty} title="Nenhum banco de dados" icon="outside">As visões de um ERP são lidas por um arquivo em <span class="mono">sources/</span>, na pasta das conexões; docs/sources.md mostra como.<//><//>`;
  return html`<div class="stack">${data.workers === 0 && html`<p class="note warn">Nenhum processo de entradas está ativo: nada é lido até que um seja iniciado.</p>`}
    ${data.sources.map((one) => html`<${SourceCard} key=${one.name} one=${one} />`)}</div>`;
}

function SourceCard({ one }) {
  const [tone, state] = STATES[one.state];
  const refusal = ["missing", "invalid", "paused"].includes(one.state) ? "Esta fonte não é lida agora" : one.job_id ? "Já há uma leitura em andamento" : "";
  const hasDelta = one.entities.some((each) => each.cursor);
  return html`<${Card} id=${`source-${one.name}`} title=${one.name} aside=${html`<${Badge} tone=${tone}>${state}<//>`}>
    <p class="muted">${[KINDS[one.kind] ?? one.kind ?? "endereço em segredo", one.entities.map((each) => each.label).join(", ")].filter(Boolean).join(" · ")}</p>
    ${one.paused_at && html`<p class="note warn">“${one.pause_reason}” — ${who(one.paused_by)}, <${Ago} moment=${one.paused_at} /></p>`}
    ${one.last_error && html`<p class="note bad">${one.last_error}</p>`}
    ${one.faults.length > 0 && html`<ul class="note bad faults">${one.faults.map((each) => html`<li key=${`${each.file}${each.line}${each.message}`}><span class="mono">${each.file}${each.line ? `:${each.line}` : ""}</span> ${each.message}</li>`)}</ul>`}
    <dl class="facts wide">
      <div><dt>Última leitura completa</dt><dd><${Ago} moment=${one.last_success_at} /></dd></div>
      <div><dt>Próxima</dt><dd>${one.next_run ? when(one.next_run) : "—"}</dd></div>
      ${one.delta && html`<div><dt>Próxima, do que mudou</dt><dd>${one.next_delta ? when(one.next_delta) : "—"}</dd></div>`}
      <div><dt>Linhas</dt><dd>${integer(one.entities.reduce((sum, each) => sum + (each.rows ?? 0), 0))}</dd></div>
    </dl>
    <details class="more"><summary>Entidades (${one.entities.length})</summary><ul class="columns-list">${one.entities.map((each) => html`<li key=${each.entity}>${each.label}: ${each.rows === null ? "ainda não lida" : plural(each.rows, "linha", "linhas")}${each.full_at && html`, <${When} moment=${each.full_at} />`}
        ${each.without_cursor > 0 && html` <span class="muted small">${plural(each.without_cursor, "linha sem data de mudança: só a leitura completa a vê", "linhas sem data de mudança: só a leitura completa as vê")}</span>`}</li>`)}</ul></details>
    ${one.state === "held" && html`<${HeldReading} one=${one} />`}
    <div class="card-actions">
      ${
        one.paused_at
          ? html`<${Button} writes kind="primary" icon="play" label=${`Retomar: ${one.name}`} onClick=${() => resume(one)}>Retomar<//>`
          : html`<${Button} writes icon="refresh" label=${`Ler agora: ${one.name}`} disabled=${refusal} onClick=${() => read(one, "full")}>Ler agora<//>
            ${hasDelta && html`<${Button} writes label=${`Ler o que mudou: ${one.name}`} disabled=${refusal} onClick=${() => read(one, "delta")}>Ler o que mudou<//>`}
            ${!["missing", "invalid"].includes(one.state) && html`<${Button} writes icon="pause" label=${`Pausar: ${one.name}`} onClick=${() => askPause(one)}>Pausar<//>`}`
      }
    </div><//>`;
}

function HeldReading({ one }) {
  const { data: job } = useLive(one.job_id && `/jobs/${one.job_id}`, 15000);
  const removed = job?.held?.owed;
  return html`<div class="note warn" role="note"><p>Nesta leitura faltam muitas linhas que antes havia${removed ? `: ${plural(removed, "registro seria removido", "registros seriam removidos")}` : ""}. Nada foi removido ainda.</p>
    <div class="card-actions"><${Button} writes kind="primary small" icon="ok" onClick=${() => askConfirm(one, removed)}>Confirmar<//>
      <${Button} writes kind="danger-quiet small" icon="stop" onClick=${() => askCancel(one)}>Cancelar a leitura<//></div></div>`;
}

const read = (one, modo) =>
  attempt(async () => {
    await request("POST", `${addressOf(one)}/ler`, { json: { modo }, key: newKey() });
    toast(`${one.name}: leitura iniciada.`);
  }, afterChange);

const resume = (one) =>
  attempt(async () => {
    await request("POST", `${addressOf(one)}/resume`);
    toast(`${one.name}: retomada.`);
  }, afterChange);

function askPause(one) {
  confirm({
    title: `Pausar: ${one.name}`,
    text: html`<p>Nada mais é lido desta fonte até que alguém a retome.</p>`,
    field: { label: "Por quê? (fica registrado)", placeholder: "manutenção do ERP" },
    action: "Pausar",
    act: async (reason) => {
      await request("POST", `${addressOf(one)}/pause`, { json: { reason } });
      toast(`Em pausa: ${one.name}.`);
      await afterChange();
    },
  });
}

function askConfirm(one, removed) {
  confirm({
    title: `Confirmar a leitura de ${one.name}?`,
    text: html`<p>${removed ? plural(removed, "registro que a fonte não tem mais é removido", "registros que a fonte não tem mais são removidos") : "Os registros que a fonte não tem mais são removidos"}.</p>`,
    action: "Confirmar e remover",
    kind: "danger",
    act: async () => {
      await request("POST", `/jobs/${one.job_id}/confirm`);
      toast(`${one.name}: leitura confirmada.`);
      await afterChange();
    },
  });
}

function askCancel(one) {
  confirm({
    title: `Cancelar a leitura de ${one.name}?`,
    text: html`<p>O que já foi lido fica gravado, e nada é removido.</p>`,
    action: "Cancelar leitura",
    kind: "danger",
    act: async () => {
      await request("POST", `/jobs/${one.job_id}/cancel`);
      toast(`${one.name}: leitura cancelada.`);
      await afterChange();
    },
  });
}
