// What the API says of its lists: labels, filters, names of codes, and how a value is shown.
import { remembered, useAnswer } from "./answers.js";
import { cnpj, integer, money, plural, price, quantity, wallDay, wallTime } from "./format.js";
import { html } from "./preact.js";
import { hashOf } from "./router.js";
import { letterName, YES_NO } from "./words.js";

export const useDescription = (address) => useAnswer(address && `/entidades/${address}`);

// The names of the codes of a domain table: a Map, empty until they are there.
export function useNames(domain) {
  const { data } = useAnswer(domain && `/dominios/${domain}`);
  return new Map((data?.tabela === domain ? data.entradas : []).map((one) => [one.codigo, one.nome ?? one.nomes[0]?.nome ?? one.codigo]));
}

// The same once they have been asked for elsewhere.
export const nameOfCode = (domain, code) => {
  const known = remembered(`/dominios/${domain}`)?.entradas.find((one) => one.codigo === code);
  return known?.nome ?? known?.nomes[0]?.nome ?? code;
};

// A label without what the place where it stands says already: "Código da modalidade" is "Modalidade".
export function shortLabel(label) {
  const short = label
    .replace(/^(Código|Sigla) d[aeo]s? /, "")
    .replace(/ \((órgão|unidade do órgão|do registro)\)$/, "")
    .replace(/: .*$/, "")
    .replace(/, também d.*$/, "");
  return short.charAt(0).toUpperCase() + short.slice(1);
}

const isPrice = (name) => /unitario/.test(name);
const isMoney = (name) => /^valor|_valor/.test(name);

export function textOf(field, value) {
  if (value === null || value === undefined || value === "") return "—";
  if (field.tipo === "dia") return wallDay(value);
  if (field.tipo === "momento") return wallTime(value);
  if (field.tipo === "booleano") return YES_NO[value];
  if (field.tipo === "numero") return isPrice(field.nome) ? price(value) : isMoney(field.nome) ? money(value) : quantity(value);
  if (typeof value === "object") return JSON.stringify(value);
  if (/cnpj|^ni(_|$)|ni_fornecedor/.test(field.nome)) return cnpj(value);
  return letterName(field.nome, value) ?? String(value);
}

// --- where a record is in this page -------------------------------------------------------------------------------

export const PLACE_OF = { contratacoes: "contratacao", contratos: "contrato", atas: "ata", pcas: "plano", fornecedores: "fornecedor", orgaos: "orgao" };
export const ADDRESS_OF = Object.fromEntries(Object.entries(PLACE_OF).map(([address, place]) => [place, address]));
const LIST_OF = { "itens-pca": "pca" };
const CONTROL = /^([0-9A-Z]{14})-(\d)-0*(\d+)\/(\d{4})(?:-0*(\d+))?$/;
const KINDS = { 0: "plano", 1: "contratacao", 2: "contrato" };

// Of a control number of the portal; null where it is none that has a page here.
export function placeOfNumber(number) {
  const [, buyer, kind, sequence, year, ata] = CONTROL.exec(number ?? "") ?? [];
  if (!buyer || !KINDS[kind]) return null;
  const parts = [ata ? "ata" : KINDS[kind], buyer, year, sequence, ...(ata ? [ata] : [])];
  return `/${parts.join("/")}`;
}

// Of a record of a declared entity; null for a key that is masked.
export const placeOfRecord = (entity, key) => (/\*{3}/.test(key ?? "***") ? null : `/cadastro/${entity}/${encodeURIComponent(key)}`);

// Of an address of the API, "/contratos/{cnpj}/{ano}/{sequencial}"; null where this page has no such place.
export function placeOfAddress(address) {
  const [, list, ...rest] = (address ?? "").split("/");
  return PLACE_OF[list] ? `/${[PLACE_OF[list], ...rest].join("/")}` : null;
}

// Of a list of the API with its filters, "/itens?numero_controle_pncp=…"
export function hashOfList(address) {
  const [path, query = ""] = (address ?? "").slice(1).split("?");
  const place = LIST_OF[path] ?? path;
  return LISTS[place] ? hashOf(`/${place}`, new URLSearchParams(query)) : null;
}

// The lists that have a view, by their place in this page: [the API's address, what one and many are called]
export const LISTS = {
  contratacoes: ["contratacoes", "contratação", "contratações"],
  contratos: ["contratos", "contrato ou empenho", "contratos e empenhos"],
  atas: ["atas", "ata", "atas"],
  itens: ["itens", "item", "itens"],
  pca: ["itens-pca", "item de plano", "itens de planos"],
};

// The filters of an address, as requests have them: each name with all of its values.
export const filtersOf = (parameters) => Object.fromEntries([...new Set(parameters.keys())].map((name) => [name, parameters.getAll(name)]));

// The address in this page of a list of the API, or its own where it has no view.
export const placeOfList = (address) => Object.keys(LISTS).find((place) => LISTS[place][0] === address) ?? address;

// --- what the mirror lacks -----------------------------------------------------------------------------------------

export function faultsOf(mirror) {
  return [
    mirror.dias_faltando === null && "nenhum dia foi lido por inteiro ainda",
    mirror.dias_faltando > 0 && `${plural(mirror.dias_faltando, "dia ainda não está provado completo", "dias ainda não estão provados completos")}`,
    mirror.registros_recusados > 0 && plural(mirror.registros_recusados, "registro não pôde ser gravado", "registros não puderam ser gravados"),
    mirror.listas_faltando > 0 && plural(mirror.listas_faltando, "lista ainda não veio do portal", "listas ainda não vieram do portal"),
    mirror.escopo && mirror.escopo !== "tudo" && `esta lista só é lida no escopo ${mirror.escopo}`,
    mirror.busca_completa === false && "a busca ainda não encontra todos os textos",
  ].filter(Boolean);
}

// Whether nothing is missing of what was asked for, in a sentence.
export function MirrorNote({ mirror }) {
  if (!mirror) return null;
  const faults = faultsOf(mirror);
  const until = mirror.ate ? ` Mudanças lidas até ${wallTime(mirror.ate)}.` : "";
  const since = mirror.de ? ` desde ${wallDay(mirror.de)}` : "";
  return html`<p class="mirror ${faults.length ? "warn" : "good"}"><span class="dot ${faults.length ? "warn" : "good"}"></span>
    <span>${faults.length ? `O espelho não está completo${since}: ${faults.join("; ")}.` : `O espelho está completo${since}.`}${until}</span></p>`;
}

export function totalText({ total, total_tipo: kind }, one, many) {
  if (kind === "minimo") return `mais de ${integer(total)} ${many}`;
  if (kind === "estimado") return `cerca de ${integer(total)} ${many}`;
  return total === null ? "" : total === 0 ? `nenhum resultado` : plural(total, one, many);
}
