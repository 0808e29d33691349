// A supplier or a buyer: what it is called, what names it in the mirror, and what the API adds up of it.
import { useAnswer } from "./answers.js";
import { hashOfList, MirrorNote, placeOfAddress, PLACE_OF, useDescription } from "./described.js";
import { cnpj, integer, money, plural, shortMoney, wallDay } from "./format.js";
import { html, useEffect } from "./preact.js";
import { AllFields } from "./process.js";
import { columnsOf, RecordTable } from "./records.js";
import { nameView } from "./router.js";
import { Badge, Card, Copy, Empty, Skeleton, Table, Trouble } from "./ui.js";
import { letterName } from "./words.js";

const NAMES = { fornecedor: "Fornecedor", orgao: "Órgão" };
const LISTED = {
  contratos: "Contratos e empenhos", contratacoes: "Contratações", atas: "Atas de registro de preços", itens: "Itens", itens_pca: "Itens de planos", pcas: "Planos de contratação anual",
  unidades: "Unidades", resultados: "Resultados de itens", termos_contrato: "Termos de contratos", instrumentos_cobranca: "Instrumentos de cobrança",
};

export function PartyView({ parts: [place, ...rest] }) {
  const address = Object.keys(PLACE_OF).find((one) => PLACE_OF[one] === place);
  const { data, error, isLoading, again } = useAnswer(`/${[address, ...rest].map(encodeURIComponent).join("/")}`);
  const { data: description } = useDescription(address);
  const name = data?.registro[description?.titulo] ?? "";
  useEffect(() => nameView(name || NAMES[place]), [name, place]);
  if (error && !isLoading)
    return error.status === 404 || error.status === 422 ? html`<header class="view-head"><h1>${NAMES[place]} fora do espelho</h1></header><${Card}><${Empty} title="Nada neste endereço" icon="search"><p>${error.message}</p><//><//>` : html`<${Trouble} error=${error} again=${again} />`;
  if (!data || isLoading || !description) return html`<${Card}><${Skeleton} lines=${6} /><//>`;
  const { registro: one } = data;
  const number = one.ni ?? one.cnpj;
  const profile = data.perfil ?? {};
  const sections = Object.entries(profile).filter(([key, value]) => key !== "nomes" && isTable(value));
  return html`<section class="card process-head" aria-labelledby="party-title"><p class="kicker">${NAMES[place]}${one.tipo_pessoa ? ` · ${letterName("tipo_pessoa", one.tipo_pessoa) ?? one.tipo_pessoa}` : ""}
      ${one.esfera_id && html` <${Badge} tone="quiet">${letterName("esfera", one.esfera_id) ?? one.esfera_id}<//>`}${one.poder_id && html` <${Badge} tone="quiet">${letterName("poder", one.poder_id) ?? one.poder_id}<//>`}</p>
      <h1 id="party-title" class="object-title">${name || "Sem nome"}</h1>
      <div class="process-row"><${Copy} text=${number} shown=${cnpj(number)} label="Copiar o número" /></div>
      ${data.raiz && html`<p class="muted">Raiz do CNPJ: ${data.raiz}, a mesma da matriz e das filiais.</p>`}
      <${MirrorNote} mirror=${data.espelho} /><${Totals} profile=${profile} /></section>
    ${profile.nomes?.length > 1 && html`<${Card} title="Nomes nos contratos" id="nomes"><ul class="rows">${profile.nomes.map((each) => html`<li key=${each.nome}><span>${each.nome}</span><span class="row-end muted">${plural(each.contratos, "contrato", "contratos")}, até ${wallDay(each.ate)}</span></li>`)}</ul><//>`}
    ${sections.map(([key, value]) => html`<${Sums} key=${key} name=${key} section=${value} />`)}
    <${Named} lists=${data.citada_em} />
    <${AllFields} record=${one} description=${description} />`;
}

const rowsOf = (value) => (Array.isArray(value) ? value : value?.registros);
const isTable = (value) => rowsOf(value)?.length > 0;
const SECTIONS = {
  anos: "Contratos por ano", ufs: "Contratos por UF", compradores: "Quem compra", fornecedores: "Quem vende", modalidades: "Modalidades",
  contratacoes: "Contratações por ano", pcas: "Planos de contratação anual", filiais: "Matriz e filiais",
};
const COLUMNS = {
  ano: "Ano", uf: "UF", nome: "Nome", cnpj: "CNPJ", ni: "Número", modalidade_nome: "Modalidade", contratos: "Contratos", vigentes: "Em vigor", valor_global: "Valor global",
  contratacoes: "Contratações", valor_estimado: "Valor estimado", valor_homologado: "Valor homologado", planos: "Planos", itens: "Itens", valor_total: "Valor total",
};
const WORDS = ["ano", "uf", "nome", "cnpj", "ni", "modalidade_nome"];

// The whole numbers of a profile.
function Totals({ profile }) {
  const { contratos, itens_vencidos: won, atas } = profile;
  const shown = [
    contratos && ["Contratos e empenhos", integer(contratos.contratos)],
    contratos && ["Em vigor", integer(contratos.vigentes)],
    contratos && ["Valor global", shortMoney(contratos.valor_global)],
    won?.total > 0 && ["Itens vencidos", `${won.total_tipo === "minimo" ? "mais de " : ""}${integer(won.total)}`],
    atas?.atas > 0 && ["Atas em vigor", `${integer(atas.vigentes)} de ${integer(atas.atas)}`],
  ].filter(Boolean);
  return shown.length > 0 && html`<dl class="amounts">${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

// One part of a profile: its first rows, and how many there are where that is more.
function Sums({ name, section }) {
  const rows = rowsOf(section);
  const value = (key, row) => {
    if (key === "nome") return placeOfAddress(row.endereco) ? html`<a href=${`#${placeOfAddress(row.endereco)}`}>${row.nome ?? "Sem nome"}</a>` : (row.nome ?? "Sem nome");
    if (/^valor/.test(key)) return money(row[key]);
    if (key === "cnpj" || key === "ni") return cnpj(row[key]);
    return WORDS.includes(key) ? (row[key] ?? "—") : integer(row[key]);
  };
  const columns = Object.keys(COLUMNS).filter((key) => key in rows[0]).map((key) => ({ title: COLUMNS[key], kind: WORDS.includes(key) ? "words" : "number", cell: (row) => value(key, row) }));
  const more = section.total > rows.length ? html`<span class="count">${integer(rows.length)} de ${integer(section.total)}</span>` : null;
  return html`<${Card} title=${SECTIONS[name] ?? name} id=${`soma-${name}`} aside=${more}><${Table} columns=${columns} rows=${rows} keyOf=${(row) => JSON.stringify(row)} caption=${`Tabela: ${SECTIONS[name] ?? name}`} /><//>`;
}

function Named({ lists }) {
  const shown = lists.filter((one) => hashOfList(one.endereco));
  if (!shown.length)
    return html`<${Card} title="Onde aparece" id="onde-aparece"><p class="calm">${lists.length ? "As listas que o citam não têm página aqui; estão na API." : "Não há listas para mostrar: o número de uma pessoa física não vai no endereço."}</p><//>`;
  return shown.map((one) => html`<${NamedList} key=${one.endereco} list=${one} />`);
}

const SHOWN = 10;

function NamedList({ list }) {
  const address = list.endereco.slice(1).split("?")[0];
  const { data: description } = useDescription(address);
  const { data, error, again } = useAnswer(`${list.endereco}&limite=${SHOWN}`);
  const title = LISTED[list.entidade] ?? list.entidade;
  const id = `${list.entidade}-${list.campo}`;
  const role = /sub_?rog/.test(list.campo) ? " (como órgão sub-rogado)" : /sub_contratado/.test(list.campo) ? " (como subcontratado)" : "";
  if (!data || !description) return html`<${Card} title=${`${title}${role}`} id=${id}>${error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${4} />`}<//>`;
  if (!data.registros.length) return null;
  const sum = data.total_tipo === "exato" && data.registros.length === data.total ? data.registros.reduce((all, row) => all + (row.valor_global ?? 0), 0) : 0;
  return html`<${Card} title=${`${title}${role}`} id=${id} aside=${html`<span class="count">${data.total_tipo === "minimo" ? "mais de " : ""}${integer(data.total)}</span>`}>
    <${RecordTable} description=${description} columns=${columnsOf(description, list.campo === "ni_fornecedor" ? ["nome_razao_social_fornecedor"] : ["orgao_entidade_razao_social", "nome_orgao"])} rows=${data.registros} caption=${`Lista: ${title}${role}`} />
    ${data.proximo ? html`<p class="load-more"><a class="button small" href=${hashOfList(list.endereco)}>Ver todos</a></p>` : sum > 0 && html`<p class="muted">Somam ${shortMoney(sum)}.</p>`}<//>`;
}

