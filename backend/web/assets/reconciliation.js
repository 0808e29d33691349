// Own purchases beside the portal: how many are how, by month and by órgão, and the list of all.
import { useAnswer } from "./answers.js";
import { Bars, MONTHS } from "./charts.js";
import { MirrorNote, placeOfNumber, placeOfRecord } from "./described.js";
import { cnpj, integer, money, plural, spokenMonth, today } from "./format.js";
import { html } from "./preact.js";
import { Records } from "./records.js";
import { hashOf } from "./router.js";
import { Badge, Card, Empty, Skeleton, Trouble } from "./ui.js";
import { RECONCILED } from "./words.js";

const LIST = ["conciliacao", "linha", "linhas"];
// Whether there is a contratação beside the purchase, which has a page of its own
const isFound = (row) => row.origem === "compra" && row.situacao !== "nao_encontrada" && placeOfNumber(row.numero_controle_pncp);
const SHOW = {
  columnsOf: () => ["registro", "objeto", "situacao", "valor_proprio", "valor_pncp", "diferenca", "data_assinatura", "dias"],
  more: ["origem", "numero_controle_pncp", "compras", "valor_das_compras"],
  linkOf: (row) => (row.origem === "compra" ? placeOfRecord("compras", row.registro) : placeOfNumber(row.registro)),
  cells: {
    situacao: (row) => html`<${Badge} tone=${RECONCILED[row.situacao][0]}>${RECONCILED[row.situacao][2]}<//>${isFound(row) && html` <a class="keys" href=${hashOf(placeOfNumber(row.numero_controle_pncp))}>ver no PNCP<span class="unseen">: ${row.registro}</span></a>`}`,
    valor_proprio: (row) => html`${money(row.valor_proprio)}${row.compras > 1 && html`<br /><span class="muted small">${row.valor_das_compras == null ? "" : `${money(row.valor_das_compras)} em `}${integer(row.compras)} compras</span>`}`,
    diferenca: (row) => html`<span class=${row.diferenca ? "bad-text" : ""}>${money(row.diferenca)}</span>`,
  },
  empty: "Ainda não há compras próprias",
  hint: html`Envie as suas compras em <a href="#/entradas">Entradas</a>: por planilha, pela API ou de um banco de dados.`,
};

export function Reconciliation() {
  return html`<${Records} place="conciliacao" list=${LIST} title="Conciliação" show=${SHOW} Intro=${Intro} />`;
}

// What the list is filtered by, but for the situation: the tiles are that filter.
function Intro({ filters }) {
  const others = new URLSearchParams([...filters].filter(([name]) => name !== "situacao"));
  const { data, error, again } = useAnswer(`/conciliacao/resumo${others.size ? `?${others}` : ""}`);
  if (!data) return error ? html`<${Card}><${Trouble} error=${error} again=${again} /><//>` : html`<section class="figures-row">${[1, 2, 3, 4].map((n) => html`<div class="card figure" key=${n}><${Skeleton} lines=${2} /></div>`)}</section>`;
  return html`<p class="muted">As compras próprias diante do que o portal mostra. Prazo de publicação: ${plural(data.prazo_dias, "dia", "dias")} depois da assinatura.</p>
    <${MirrorNote} mirror=${data.espelho} />
    <${Tiles} situations=${data.situacoes} others=${others} chosen=${filters.getAll("situacao")} />
    <div class="two-cards">
      <${Card} id="por-mes" title="Por mês"><${Months} months=${data.meses} /><//>
      <${Card} id="por-orgao" title="Por órgão"><${Orgaos} orgaos=${data.orgaos} /><//>
    </div>`;
}

// What the sums of a situation say in one line
function amountOf(one) {
  if (one.situacao === "valor_difere") return one.diferenca_absoluta && `${money(one.diferenca_absoluta)} de diferença`;
  if (one.situacao === "so_no_pncp") return one.valor_pncp && `${money(one.valor_pncp)} no PNCP`;
  return one.valor_proprio && `${money(one.valor_proprio)} próprios`;
}

function Tiles({ situations, others, chosen }) {
  return html`<section class="figures-row" aria-label="Situações">${situations.map((one) => {
    const [tone, name] = RECONCILED[one.situacao];
    const isChosen = chosen.includes(one.situacao);
    const next = new URLSearchParams(others);
    if (!isChosen) next.set("situacao", one.situacao);
    const late = one.atrasadas > 0 && one.situacao !== "fora_do_prazo" && plural(one.atrasadas, "passou do prazo", "passaram do prazo");
    return html`<a key=${one.situacao} class="card figure tile ${one.registros ? tone : ""}" href=${hashOf("/conciliacao", next)} aria-current=${isChosen ? "true" : undefined}>
      <h2>${name}</h2><p class="figure-value">${integer(one.registros)}</p>
      <p class="muted">${[amountOf(one), late].filter(Boolean).join(" · ") || " "}</p></a>`;
  })}</section>`;
}

// A row is a fault, a doubt, or well: as the tiles have it.
const partsOf = (situations) =>
  ["good", "warn", "bad"].map((tone) => ({
    tone,
    value: Object.entries(situations).reduce((sum, [name, count]) => sum + (RECONCILED[name][0].replace("quiet", "good") === tone ? count : 0), 0),
  }));

const SAID = { bad: ["diferença", "diferenças"], warn: ["a ver", "a ver"], good: ["publicada sem diferença", "publicadas sem diferença"] };
const textOf = (parts) => [...parts].reverse().filter((one) => one.value).map((one) => `${integer(one.value)} ${SAID[one.tone][one.value === 1 ? 0 : 1]}`).join(", ") || "nenhuma";

function Months({ months }) {
  const known = new Map(months.map((one) => [one.mes, one.situacoes]));
  const [year, month] = today().split("-").map(Number);
  const days = Array.from({ length: 12 }, (_, n) => {
    const day = new Date(Date.UTC(year, month - 12 + n, 1)).toISOString().slice(0, 10);
    const parts = partsOf(known.get(day) ?? {});
    return { day, parts, text: textOf(parts) };
  });
  const total = days.reduce((sum, one) => sum + one.parts.reduce((all, part) => all + part.value, 0), 0);
  return html`<div class="charts one-chart"><${Bars} title="Compras e contratações, pelo mês da assinatura ou da publicação" headline=${plural(total, "linha", "linhas")} format=${integer} days=${days} scale=${MONTHS}
      summary=${`Por mês: ${days.filter((one) => one.text !== "nenhuma").map((one) => `${spokenMonth(one.day)}, ${one.text}`).join("; ") || "nada"}.`} /></div>
    <ul class="legend">${["bad", "warn", "good"].map((tone) => html`<li key=${tone}><span class="dot ${tone}"></span>${SAID[tone][1]}</li>`)}</ul>`;
}

const SHOWN = 8;

function Orgaos({ orgaos }) {
  if (!orgaos.length) return html`<${Empty} title="Nada a mostrar" />`;
  const rows = orgaos
    .map((one) => ({ ...one, parts: partsOf(one.situacoes) }))
    .sort((a, b) => b.parts[2].value - a.parts[2].value)
    .slice(0, SHOWN);
  return html`<table class="ranking"><caption class="unseen">Situações por órgão</caption>
    <thead><tr><th scope="col">Órgão</th><th scope="col" class="number">Diferenças</th><th scope="col" class="number">A ver</th><th scope="col" class="number">Em ordem</th></tr></thead>
    <tbody>${rows.map((one) => html`<tr key=${one.orgao_cnpj}><th scope="row"><a class="row-link" href=${hashOf("/conciliacao", { orgao_cnpj: one.orgao_cnpj })}>${one.orgao_nome ?? cnpj(one.orgao_cnpj)}</a></th>
      ${[...one.parts].reverse().map((part) => html`<td key=${part.tone} class="number">${integer(part.value)}</td>`)}</tr>`)}</tbody></table>
    ${orgaos.length > SHOWN && html`<p class="muted small">e mais ${orgaos.length - SHOWN}</p>`}`;
}
