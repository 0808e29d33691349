// Prices of results: what was paid for an item, what the prices come to, and which of them do not count.
import { useAnswer } from "./answers.js";
import { MirrorNote, placeOfAddress } from "./described.js";
import { Save } from "./exports.js";
import { cnpj, integer, percent, plural, price, quantity, wallDay } from "./format.js";
import { html, useEffect, useState } from "./preact.js";
import { go, route } from "./router.js";
import { Badge, Button, Card, Empty, Skeleton, Table, Trouble } from "./ui.js";

const FIELDS = [
  ["q", "O que foi comprado", "papel sulfite a4", "search"],
  ["unidade", "Unidade de medida", "resma", "text"],
  ["uf", "UF", "SC, PR", "text"],
  ["de", "Resultados de", "", "date"],
  ["ate", "até", "", "date"],
];
const SITUATION = { considerado: ["good", "considerado"], discrepante: ["warn", "discrepante"], excluido: ["quiet", "excluído"] };
const ROWS = [
  ["n", "Preços", integer],
  ["media", "Média", price],
  ["mediana", "Mediana", price],
  ["minimo", "Menor preço", price],
  ["primeiro_quartil", "1º quartil", price],
  ["terceiro_quartil", "3º quartil", price],
  ["maximo", "Maior preço", price],
  ["desvio_padrao", "Desvio padrão", price],
  ["coeficiente_variacao", "Coeficiente de variação", (value) => (value == null ? "—" : percent(100 * value))],
];

export function Prices() {
  const { parameters } = route.use();
  const asked = new URLSearchParams([...parameters].filter(([, value]) => value));
  const { data, error, isLoading, again } = useAnswer(asked.get("q") ? `/precos?${asked}` : null);
  return html`<header class="view-head"><h1>Pesquisa de preços</h1><p class="muted">Preços homologados em resultados de itens, com a fonte de cada um; sem período, os do último ano (IN SEGES/ME 65/2021).</p></header>
    <${Asking} asked=${asked} />
    ${
      !asked.get("q")
        ? html`<${Card}><${Empty} title="Diga o que foi comprado" icon="search">A busca encontra singular e plural, com ou sem acentos.<//><//>`
        : error && !isLoading
          ? html`<${Card}><${Trouble} error=${error} again=${again} /><//>`
          : !data
            ? html`<${Card}><${Skeleton} lines=${6} /><//>`
            : html`<div class="listing stack" aria-busy=${isLoading ? "true" : undefined}><${Found} data=${data} asked=${asked} /></div>`
    }`;
}

const leadTo = (asked) => go("/precos", asked);

function Asking({ asked }) {
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const next = new URLSearchParams();
    for (const [name] of FIELDS) {
      const value = String(given.get(name) ?? "").trim();
      if (value) next.set(name, name === "uf" ? value.toUpperCase().replaceAll(" ", "") : value);
    }
    leadTo(next);
  };
  return html`<${Card}><form class="price-form" role="search" key=${FIELDS.map(([name]) => asked.get(name) ?? "").join("|")} onSubmit=${submit}>
    ${FIELDS.map(
      ([name, label, example, type]) => html`<label key=${name} class=${name === "q" ? "wide" : ""}>${label}
        <input name=${name} type=${type} placeholder=${example} defaultValue=${asked.get(name) ?? ""} required=${name === "q"} maxlength="250" /></label>`,
    )}
    <${Button} type="submit" kind="primary" icon="search">Pesquisar<//></form><//>`;
}

function Found({ data, asked }) {
  const { serie, estatisticas, contagem, avisos, periodo } = data;
  const { com_todos: all, sem_discrepantes: kept } = estatisticas;
  if (!serie.length)
    return html`<${Card}><${MirrorNote} mirror=${data.espelho} /><${Empty} title="Nenhum preço no período" icon="search">Só têm preço os itens cujos resultados o espelho lê (PNCP_RESULTADOS).<//><${Notices} notices=${avisos} /><//>`;
  return html`<${Card} title=${plural(contagem.serie, "preço", "preços")} id="precos-resumo" aside=${html`<${Paper} asked=${asked} />`}>
      <p class="muted">Resultados de ${wallDay(periodo.de)} a ${wallDay(periodo.ate)}: ${plural(contagem.considerados, "considerado", "considerados")}, ${plural(contagem.discrepantes, "discrepante", "discrepantes")}, ${plural(contagem.excluidos, "excluído", "excluídos")}.</p>
      <${MirrorNote} mirror=${data.espelho} /><${Notices} notices=${avisos} />
      <dl class="amounts"><div><dt>Mediana</dt><dd>${price(kept.mediana)}</dd></div><div><dt>Média</dt><dd>${price(kept.media)}</dd></div>
        <div><dt>Menor</dt><dd>${price(kept.minimo)}</dd></div><div><dt>Maior</dt><dd>${price(kept.maximo)}</dd></div></dl>
      <${BoxPlot} all=${all} limits=${data.limites} prices=${serie} />
      <details class="fold"><summary>O cálculo</summary>
        <${Table} caption="Tabela: o cálculo com todos os preços e sem os discrepantes" rows=${ROWS} keyOf=${([name]) => name} columns=${[
          { title: "Medida", cell: ([, label]) => label },
          { title: "Sem discrepantes", kind: "number", cell: ([name, , shown]) => shown(kept[name]) },
          { title: "Com todos", kind: "number", cell: ([name, , shown]) => shown(all[name]) },
        ]} /><p class="muted small">${data.metodo}</p></details>
    <//>
    <${Card} title="Os preços, com a sua fonte" id="precos-serie"><${Series} rows=${serie} asked=${asked} /><//>`;
}

// What the mirror lacks stands above them already.
const Notices = ({ notices: all }) => {
  const notices = all.filter((one) => one.codigo !== "espelho_incompleto");
  return notices.length > 0 && html`<ul class="notices" aria-label="Avisos">${notices.map((one) => html`<li class="note" key=${one.codigo}>${one.texto}</li>`)}</ul>`;
};

const Paper = ({ asked }) =>
  html`<span class="reason-actions">${[["xlsx", "Excel"], ["pdf", "PDF"]].map(([format, label]) => html`<${Save} key=${format} path=${`/precos.${format}?${asked}`} name=${`precos.${format}`} label=${label} />`)}</span>`;

// The box is the middle half of the prices; the line in it their median; points beyond the limits are discrepant.
function BoxPlot({ all, limits, prices }) {
  const values = prices.map((one) => one.valor_unitario_homologado);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const at = (value) => 10 + (580 * (value - low)) / (high - low || 1);
  if (all.n < 2 || !limits) return null;
  const inside = values.filter((value) => value >= limits.inferior && value <= limits.superior);
  const [first, last] = [Math.min(...inside), Math.max(...inside)];
  const text = `Gráfico de caixa: metade dos preços está entre ${price(all.primeiro_quartil)} e ${price(all.terceiro_quartil)}, a mediana é ${price(all.mediana)}, o menor ${price(low)} e o maior ${price(high)}.`;
  return html`<figure class="chart box-plot"><svg viewBox="0 0 600 64" role="img" aria-label=${text}>
      <line class="whisker" x1=${at(first)} x2=${at(last)} y1="32" y2="32" />
      ${[first, last].map((end) => html`<line class="whisker" key=${end} x1=${at(end)} x2=${at(end)} y1="22" y2="42" />`)}
      <rect class="box" x=${at(all.primeiro_quartil)} width=${Math.max(at(all.terceiro_quartil) - at(all.primeiro_quartil), 1)} y="12" height="40" rx="3" />
      <line class="median" x1=${at(all.mediana)} x2=${at(all.mediana)} y1="12" y2="52" />
      ${prices.map((one) => html`<circle key=${one.chave} class=${one.situacao} cx=${at(one.valor_unitario_homologado)} cy="32" r="3.5"><title>${price(one.valor_unitario_homologado)}</title></circle>`)}
    </svg><p class="chart-ends" aria-hidden="true"><span>${price(low)}</span><span>mediana ${price(all.mediana)}</span><span>${price(high)}</span></p></figure>`;
}

// Keys and reasons that are excluded, in the order of the address.
const excludedOf = (asked) => {
  const reasons = asked.getAll("motivo");
  return asked.getAll("excluir").map((key, n) => [key, reasons[n] ?? reasons[0] ?? ""]);
};

function Series({ rows, asked }) {
  const [chosen, choose] = useState(null);
  useEffect(() => choose(null), [asked.toString()]);
  const excluded = excludedOf(asked);
  const lead = (pairs) => {
    const next = new URLSearchParams([...asked].filter(([name]) => name !== "excluir" && name !== "motivo"));
    for (const [key] of pairs) next.append("excluir", key);
    for (const [, reason] of pairs) next.append("motivo", reason || "sem justificativa");
    leadTo(next);
  };
  const toggle = (row) =>
    row.situacao === "excluido" ? lead(excluded.filter(([key]) => key !== row.chave)) : choose(row.chave);
  const columns = [
    { title: "Conta", cell: (row) => html`<label class="check"><input type="checkbox" checked=${row.situacao !== "excluido"} onChange=${() => toggle(row)} /><span class="unseen">Considerar o preço de ${price(row.valor_unitario_homologado)} de ${row.numero_controle_pncp}</span><${Badge} tone=${SITUATION[row.situacao][0]}>${SITUATION[row.situacao][1]}<//></label>
      ${row.motivo && html`<span class="keys muted">${row.motivo}</span>`}${chosen === row.chave && html`<${Reason} keep=${() => choose(null)} exclude=${(reason) => lead([...excluded, [row.chave, reason]])} />`}` },
    { title: "Preço unitário", kind: "number", cell: (row) => (row.situacao === "excluido" ? html`<s>${price(row.valor_unitario_homologado)}</s>` : html`<strong>${price(row.valor_unitario_homologado)}</strong>`) },
    { title: "Quantidade", kind: "number", cell: (row) => `${quantity(row.quantidade_homologada)} ${row.unidade_medida ?? ""}` },
    { title: "Item", kind: "object", cell: (row) => html`<span class="clamp">${row.descricao ?? "—"}</span><a class="keys mono" href=${`#${placeOfAddress(row.endereco) ?? "/precos"}`}>${row.numero_controle_pncp}</a>` },
    { title: "Comprador", kind: "words", cell: (row) => html`${row.orgao_entidade_razao_social ?? "—"}<span class="keys muted">${[row.unidade_orgao_municipio_nome, row.unidade_orgao_uf_sigla].filter(Boolean).join("/")}</span>` },
    { title: "Fornecedor", kind: "words", cell: (row) => html`${row.nome_razao_social_fornecedor ?? "—"}<span class="keys muted">${cnpj(row.ni_fornecedor) ?? ""}</span>` },
    { title: "Data", cell: (row) => wallDay(row.data) },
    { title: "Fonte", cell: (row) => row.fonte && html`<a href=${row.fonte} target="_blank" rel="noreferrer">PNCP</a>` },
  ];
  return html`<${Table} caption="Tabela: preços" columns=${columns} rows=${rows} keyOf=${(row) => row.chave} rowClass=${(row) => row.situacao} />`;
}

function Reason({ keep, exclude }) {
  const submit = (event) => {
    event.preventDefault();
    exclude(String(new FormData(event.currentTarget).get("motivo")).trim());
  };
  return html`<form class="reason" onSubmit=${submit}><label>Por que não serve<input name="motivo" required maxlength="200" autofocus /></label>
    <div class="reason-actions"><${Button} type="submit" kind="small">Excluir<//><${Button} kind="small ghost" onClick=${keep}>Voltar<//></div></form>`;
}
