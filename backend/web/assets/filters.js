// The form of a list, made of what the API describes: facets with counts, ranges, conditions, and all other filters.
import { useAnswer } from "./answers.js";
import { nameOfCode, shortLabel, textOf, useNames } from "./described.js";
import { integer, numericDay } from "./format.js";
import { html, useState } from "./preact.js";
import { Button, Icon } from "./ui.js";
import { letterName, YES_NO } from "./words.js";

export const SEARCH = "q";
const SHOWN_VALUES = 7;

// Filters of a range, by their common name: {name, label, type, from, to}
export function rangesOf(description) {
  const ranges = new Map();
  for (const one of description.filtros) {
    if (one.forma !== "desde" && one.forma !== "ate") continue;
    const name = one.nome.replace(/_(de|ate|min|max)$/, "");
    const known = ranges.get(name) ?? { name, label: one.rotulo.slice(0, one.rotulo.lastIndexOf(": ")), tipo: one.tipo };
    known[one.forma] = one;
    ranges.set(name, known);
  }
  return [...ranges.values()];
}

// What stands in the form at once: the ranges that are orders too, but for the stamp of changes where there is another.
function mainRangesOf(description) {
  const orders = new Set(description.ordens.map((one) => one.nome));
  return rangesOf(description).filter((one) => orders.has(one.name) && one.name !== "data_atualizacao_global");
}

export const isFilter = (description, name) => description.filtros.some((one) => one.nome === name);

export function Filters({ description, parameters, facetsPath, change }) {
  const facets = useAnswer(facetsPath);
  const byName = Object.fromEntries(description.filtros.map((one) => [one.nome, one]));
  const main = mainRangesOf(description);
  const conditions = description.filtros.filter((one) => one.forma === "condicao");
  const shown = new Set([...description.facetas, ...main.map((one) => one.name)]);
  return html`<form class="facets" aria-label="Filtros" onSubmit=${(event) => event.preventDefault()}>
    ${conditions.length > 0 && html`<fieldset class="facet"><legend>Condições</legend>
      ${conditions.map((one) => html`<${Check} key=${one.nome} label=${one.rotulo} checked=${parameters.get(one.nome) === "true"}
        toggle=${(isOn) => change(one.nome, isOn ? ["true"] : [])} />`)}</fieldset>`}
    ${main.map((one) => html`<${Range} key=${one.name} range=${one} parameters=${parameters} change=${change} />`)}
    ${description.facetas.map((name) => html`<${Facet} key=${name} filter=${byName[name]} facet=${facets.data?.facetas[name]} isLoading=${facets.isLoading}
      chosen=${parameters.getAll(name)} choose=${(values) => change(name, values)} />`)}
    ${facets.error && html`<p class="note warn">As contagens não vieram: ${facets.error.message}
      <${Button} kind="small" onClick=${facets.again}>Tentar de novo<//></p>`}
    <${OtherFilters} description=${description} shown=${shown} parameters=${parameters} change=${change} />
  </form>`;
}

const Check = ({ label, checked, toggle, count }) => html`<label class="check"><input type="checkbox" checked=${checked}
    onChange=${(event) => toggle(event.target.checked)} /><span class="check-label">${label}</span>
    ${count !== undefined && html`<span class="check-count">${count === null ? "" : integer(count)}</span>`}</label>`;

const nameOf = (filter, names, value) =>
  value === null ? "Sem informação" : (names.get(value) ?? letterName(filter.nome, value) ?? (filter.tipo === "booleano" ? YES_NO[value] : value));

function Facet({ filter, facet, isLoading, chosen, choose }) {
  const names = useNames(filter.dominio);
  const [all, showAll] = useState(false);
  const counted = (facet?.valores ?? []).filter((one) => one.valor !== null);
  const known = new Set(counted.map((one) => one.valor));
  const values = [...chosen.filter((one) => !known.has(one)).map((valor) => ({ valor, registros: facet && !facet.incompleta ? 0 : null })), ...counted];
  const first = all ? values : values.filter((one, n) => n < SHOWN_VALUES || chosen.includes(one.valor));
  const toggle = (value, isOn) => choose(isOn ? [...chosen, value] : chosen.filter((one) => one !== value));
  const label = shortLabel(filter.rotulo);
  return html`<fieldset class="facet" aria-busy=${isLoading ? "true" : undefined}><legend>${label}</legend>
    ${first.map((one) => html`<${Check} key=${one.valor} label=${nameOf(filter, names, one.valor)} count=${one.registros} checked=${chosen.includes(one.valor)}
      toggle=${(isOn) => toggle(one.valor, isOn)} />`)}
    ${values.length > SHOWN_VALUES && html`<button type="button" class="link" aria-expanded=${all ? "true" : "false"} onClick=${() => showAll(!all)}>
      ${all ? "mostrar menos" : `mostrar mais ${values.length - SHOWN_VALUES}`}<span class="unseen"> em ${label}</span></button>`}
    ${facet?.incompleta && html`<p class="hint">Contar os valores demoraria demais. Filtre mais, ou escreva o valor.</p>
      <${TextFilter} filter=${filter} value=${chosen} change=${choose} />`}
    ${facet && !facet.incompleta && !values.length && html`<p class="hint">Nenhum valor</p>`}
    ${!facet && isLoading && html`<p class="hint">Contando…</p>`}
  </fieldset>`;
}

const inputType = (tipo) => (tipo === "dia" || tipo === "momento" ? "date" : "text");

// A number as people in Brazil write it, as the API takes it: "1.500,50" is 1500.50
export function toNumber(written) {
  const text = written.trim().replace(/^R\$\s*/, "");
  if (text === "") return "";
  const plain = text.includes(",") ? text.replaceAll(".", "").replace(",", ".") : /^\d{1,3}(\.\d{3})+$/.test(text) ? text.replaceAll(".", "") : text;
  return /^-?\d+(\.\d+)?$/.test(plain) ? plain : null;
}

const shownNumber = (value) => (value ? Number(value).toLocaleString("pt-BR", { maximumFractionDigits: 4 }) : "");

function Range({ range, parameters, change }) {
  const isDate = inputType(range.tipo) === "date";
  return html`<fieldset class="facet"><legend>${range.label.replace(/, também d.*$/, "")}</legend><div class=${isDate ? "days" : "two"}>
    ${[range.desde, range.ate].map((one, n) => {
      const label = isDate ? ["De", "Até"][n] : ["Mínimo", "Máximo"][n];
      return html`<${RangeEnd} key=${one.nome} filter=${one} label=${label} isDate=${isDate} value=${parameters.get(one.nome) ?? ""} change=${change} />`;
    })}</div></fieldset>`;
}

// Inputs have a first value and a key of it: results that arrive while one is being filled in do not empty it.
function RangeEnd({ filter, label, isDate, value, change }) {
  const [trouble, tell] = useState("");
  const set = (event) => {
    const given = isDate ? event.target.value : toNumber(event.target.value);
    tell(given === null ? "Escreva um número, como 1.500,00" : "");
    if (given !== null && given !== value) change(filter.nome, given === "" ? [] : [given]);
  };
  return html`<label>${label}<input key=${value} type=${isDate ? "date" : "text"} inputmode=${isDate ? undefined : "decimal"} name=${filter.nome}
    defaultValue=${isDate ? value.slice(0, 10) : shownNumber(value)} autocomplete="off" onChange=${set} placeholder=${!isDate && filter.nome.includes("valor") ? "R$" : undefined}
    aria-invalid=${trouble ? "true" : undefined} />${trouble && html`<span class="hint bad-text" role="alert">${trouble}</span>`}</label>`;
}

// Several values by commas, but where a value may hold them.
function TextFilter({ filter, value, change }) {
  const set = (event) =>
    change(event.target.value
      .split(/,(?! )/)
      .map((one) => one.trim())
      .filter(Boolean));
  return html`<label>${filter.rotulo}<input key=${value.join()} type="text" name=${filter.nome} defaultValue=${value.join(",")} autocomplete="off" spellcheck=${false} onChange=${set} /></label>`;
}

const YesNo = ({ filter, value, change }) => html`<label>${filter.rotulo}<select name=${filter.nome} onChange=${(event) => change(event.target.value ? [event.target.value] : [])}>
  ${["", "true", "false"].map((one) => html`<option key=${one} value=${one} selected=${(value[0] ?? "") === one}>${one ? YES_NO[one] : "Tanto faz"}</option>`)}</select></label>`;

function CodeFilter({ filter, value, change }) {
  const names = useNames(filter.dominio);
  return html`<label>${shortLabel(filter.rotulo)}<select name=${filter.nome} onChange=${(event) => change(event.target.value ? [event.target.value] : [])}>
    <option value="">Tanto faz</option>
    ${[...names].map(([code, name]) => html`<option key=${code} value=${code} selected=${value[0] === code}>${name}</option>`)}</select></label>`;
}

const DateFilter = ({ filter, value, change }) => html`<label>${filter.rotulo}<input key=${value[0] ?? ""} type="date" name=${filter.nome} defaultValue=${(value[0] ?? "").slice(0, 10)}
    onChange=${(event) => change(event.target.value ? [event.target.value] : [])} /></label>`;

function inputOf(filter) {
  if (filter.tipo === "booleano") return YesNo;
  if (filter.dominio) return CodeFilter;
  return inputType(filter.tipo) === "date" ? DateFilter : TextFilter;
}

// All that the API takes; nothing is hidden for good.
function OtherFilters({ description, shown, parameters, change }) {
  const [isOpen, open] = useState(false);
  const ranges = rangesOf(description).filter((one) => !shown.has(one.name));
  const others = description.filtros
    .filter((one) => (one.forma === "valores" || one.forma === "com_valor") && !shown.has(one.nome))
    .sort((a, b) => b.indice - a.indice);
  return html`<details class="more" onToggle=${(event) => open(event.target.open)}><summary>Mais filtros (${others.length + ranges.length})</summary>
    ${isOpen && html`<div class="more-filters">
      ${others.map((one) => html`<${inputOf(one)} key=${one.nome} filter=${one} value=${parameters.getAll(one.nome)} change=${(values) => change(one.nome, values)} />`)}
      ${ranges.map((one) => html`<${Range} key=${one.name} range=${one} parameters=${parameters} change=${change} />`)}
    </div>`}</details>`;
}

// --- chips ---------------------------------------------------------------------------------------------------------

const SIGNS = { desde: "a partir de ", ate: "até " };

export function chipsOf(description, parameters) {
  const byName = Object.fromEntries(description.filtros.map((one) => [one.nome, one]));
  return [...parameters]
    .filter(([name]) => byName[name])
    .map(([name, value]) => {
      const filter = byName[name];
      const label = shortLabel(filter.rotulo);
      if (filter.forma === "palavras") return { name, value, text: `“${value}”` };
      if (filter.forma === "condicao") return { name, value, text: value === "true" ? filter.rotulo : `Não: ${filter.rotulo}` };
      const field = { nome: name, tipo: filter.tipo };
      const said = /^\d{4}-\d{2}-\d{2}$/.test(value) ? numericDay(value) : filter.tipo === "booleano" ? YES_NO[value] : filter.tipo === "numero" ? textOf(field, Number(value))
        : filter.dominio ? nameOfCode(filter.dominio, value) : textOf(field, value);
      return { name, value, text: `${label}: ${SIGNS[filter.forma] ?? ""}${said}` };
    });
}

export function Chips({ description, parameters, change, clear }) {
  const chips = chipsOf(description, parameters);
  if (!chips.length) return null;
  const remove = ({ name, value }) => change(name, parameters.getAll(name).filter((one) => one !== value));
  return html`<ul class="chips active" aria-label="Filtros em uso">${chips.map((one) => html`<li key=${`${one.name} ${one.value}`}>
      <button type="button" class="chip" aria-label=${`Remover filtro ${one.text}`} onClick=${() => remove(one)}><span class="clip">${one.text}</span><${Icon} name="close" /></button></li>`)}
    <li><button type="button" class="link" onClick=${clear}>Limpar tudo</button></li></ul>`;
}
