// The first sight of the data: what was published lately, where, how and how much; out of the rollups alone.
import { useAnswer } from "./answers.js";
import { Bars, MONTHS } from "./charts.js";
import { MirrorNote, useNames } from "./described.js";
import { addDays, compact, decimal, integer, plural, shortMoney, spokenMonth, today, wallDay } from "./format.js";
import { html } from "./preact.js";
import { go, hashOf } from "./router.js";
import { Button, Card, Icon, Skeleton, Trouble } from "./ui.js";

const SPAN = 30;
const between = (from, to) => `data_publicacao_de=${from}&data_publicacao_ate=${to}`;

function firstMonth() {
  const [year, month] = today().split("-").map(Number);
  return `${month === 12 ? year : year - 1}-${String((month % 12) + 1).padStart(2, "0")}-01`;
}

export function Market() {
  const last = addDays(today(), -1); // today is not over yet
  const now = [addDays(last, 1 - SPAN), last];
  const before = [addDays(now[0], -SPAN), addDays(now[0], -1)];
  const year = `data_publicacao_de=${firstMonth()}`; // whole months, which are few sums
  const groups = "agrupar=uf,modalidade,plataforma";
  const contratacoes = useAnswer(`/contratacoes/resumo?${between(...now)}&${groups}`);
  const earlier = useAnswer(`/contratacoes/resumo?${between(...before)}&agrupar=uf`);
  const contratos = useAnswer(`/contratos/resumo?${between(...now)}&agrupar=tipo`);
  const contratosBefore = useAnswer(`/contratos/resumo?${between(...before)}&agrupar=tipo`);
  const months = useAnswer(`/contratacoes/resumo?${year}&agrupar=mes`);
  const monthsOfContratos = useAnswer(`/contratos/resumo?${year}&agrupar=mes`);
  const modalidades = useNames("modalidades");
  const tipos = useNames("tipos-contratos");
  const all = [contratacoes, earlier, contratos, contratosBefore, months, monthsOfContratos];
  const failed = all.find((one) => one.error);
  const again = () => all.filter((one) => one.error).forEach((one) => one.again());
  const filters = { data_publicacao_de: now[0], data_publicacao_ate: now[1] };
  return html`<header class="view-head"><h1>Compras públicas no espelho</h1><p class="muted">Publicadas no PNCP de ${wallDay(now[0])} a ${wallDay(now[1])}, diante dos ${SPAN} dias anteriores.</p></header>
    <${QuickSearch} />
    ${failed && html`<${Card}><${Trouble} error=${failed.error} again=${again} /><//>`}
    <${Figures} now=${contratacoes.data} before=${earlier.data} contratos=${contratos.data} contratosBefore=${contratosBefore.data} />
    <${Card} title="Por mês" id="por-mes"><div class="charts two-charts">
      <${Months} title="Contratações publicadas" data=${months.data} value=${(one) => one.registros} format=${integer} />
      <${Months} title="Valor dos contratos e empenhos" data=${monthsOfContratos.data} value=${(one) => Number(one.valor_global ?? 0)} format=${shortMoney} /></div><//>
    <div class="two-cards">
      <${Ranking} id="por-uf" title="Por UF" head="UF" data=${contratacoes.data} group="uf" place="contratacoes" filter="uf" filters=${filters} amount="valor_estimado" amountHead="Valor estimado" />
      <div class="stack">
        <${Ranking} id="por-modalidade" title="Por modalidade" head="Modalidade" data=${contratacoes.data} group="modalidade" place="contratacoes" filter="modalidade" names=${modalidades} filters=${filters} amount="valor_estimado" amountHead="Valor estimado" />
        <${Ranking} id="por-tipo" title="Contratos por tipo" head="Tipo" data=${contratos.data} group="tipo" place="contratos" filter="tipo_contrato" names=${tipos} filters=${filters} amount="valor_global" amountHead="Valor global" />
        <${Ranking} id="por-plataforma" title="Por plataforma que publicou" head="Plataforma" data=${contratacoes.data} group="plataforma" place="contratacoes" filter="plataforma" filters=${filters} amount="valor_estimado" amountHead="Valor estimado" />
      </div></div>
    <${Card} title="Estado do espelho" id="estado"><${MirrorNote} mirror=${contratacoes.data?.espelho} />
      <p class="muted">Valores estimados repetem o que cada órgão informou ao portal, com os erros que houver; um valor enorme pode ser um engano de digitação na origem. <a href="#/arquivos">Arquivos prontos de cada ano</a></p><//>`;
}

function QuickSearch() {
  const search = (event) => {
    event.preventDefault();
    const words = event.target.palavras.value.trim();
    go(`/${event.target.onde.value}`, words ? { q: words } : {});
  };
  return html`<form class="search" role="search" onSubmit=${search}><div class="search-row"><${Icon} name="search" />
    <label class="unseen" for="quick-words">Palavras</label><input id="quick-words" name="palavras" type="search" placeholder="O que você procura? Por exemplo: merenda escolar" autocomplete="off" maxlength="250" />
    <label class="unseen" for="quick-where">Onde</label><select id="quick-where" name="onde"><option value="contratacoes">em contratações</option><option value="contratos">em contratos</option><option value="itens">em itens</option><option value="atas">em atas</option><option value="pca">em planos (PCA)</option></select>
    <${Button} type="submit" kind="primary">Buscar<//></div></form>`;
}

function Figures({ now, before, contratos, contratosBefore }) {
  if (!now || !contratos) return html`<section class="figures-row five">${[1, 2, 3, 4, 5].map((n) => html`<div class="card figure" key=${n}><${Skeleton} lines=${2} /></div>`)}</section>`;
  const figures = [
    ["Contratações", compact(now.registros), change(now, before, "registros")],
    ["Valor estimado", shortMoney(now.valor_estimado ?? 0), change(now, before, "valor_estimado")],
    ["Valor homologado", shortMoney(now.valor_homologado ?? 0), change(now, before, "valor_homologado")],
    ["Contratos e empenhos", compact(contratos.registros), change(contratos, contratosBefore, "registros")],
    ["Valor contratado", shortMoney(contratos.valor_global ?? 0), change(contratos, contratosBefore, "valor_global")],
  ];
  return html`<section class="figures-row five" aria-label="Números dos últimos ${SPAN} dias">${figures.map(([name, value, more]) => html`<div class="card figure" key=${name}><h2>${name}</h2><p class="figure-value">${value}</p><p class="muted">${more}</p></div>`)}</section>`;
}

// A change is only said where the mirror has all days of both spans.
function change(now, before, name) {
  if (!before) return "…";
  const missing = (now.espelho.dias_faltando ?? SPAN) + (before.espelho.dias_faltando ?? SPAN);
  if (missing) return `sem comparação: ${plural(missing, "dia por ler", "dias por ler")}`;
  const [value, earlier] = [Number(now[name] ?? 0), Number(before[name] ?? 0)];
  if (!earlier) return "nada nos 30 dias anteriores";
  const share = (100 * (value - earlier)) / earlier;
  return `${share > 0 ? "▲ +" : share < 0 ? "▼ −" : ""}${decimal(Math.abs(share))}% ante os 30 anteriores`;
}

function Months({ title, data, value, format }) {
  if (!data) return html`<${Skeleton} height=${120} />`;
  const known = new Map(data.grupos.mes.map((one) => [one.valor, value(one)]));
  const days = [];
  const [year, month] = firstMonth().split("-").map(Number);
  for (let n = 0; n < 12; n += 1) {
    const at = new Date(Date.UTC(year, month - 1 + n, 1)).toISOString().slice(0, 10);
    const amount = known.get(at) ?? 0;
    days.push({ day: at, parts: [{ value: amount, tone: "main" }], text: format(amount) });
  }
  const total = days.reduce((sum, one) => sum + one.parts[0].value, 0);
  return html`<${Bars} title=${title} headline=${format(total)} format=${format} days=${days} scale=${MONTHS}
    summary=${`${title} por mês: ${days.filter((one) => one.parts[0].value).map((one) => `${spokenMonth(one.day)}, ${one.text}`).join("; ") || "nada"}.`} />`;
}

const SHOWN = 10;

function Ranking({ id, title, head, data, group, place, filter, names, filters, amount, amountHead }) {
  if (!data) return html`<${Card} title=${title} id=${id}><${Skeleton} lines=${6} /><//>`;
  const all = data.grupos[group] ?? [];
  const rows = group === "uf" ? all : all.slice(0, group === "plataforma" ? SHOWN : 8);
  const most = Math.max(...rows.map((one) => one.registros), 1);
  return html`<${Card} title=${title} id=${id}><table class="ranking"><caption class="unseen">${title}, nos últimos ${SPAN} dias</caption>
    <thead><tr><th scope="col">${head}</th><th scope="col" class="number">Registros</th><th scope="col" class="number">${amountHead}</th></tr></thead>
    <tbody>${rows.map((one) => html`<tr key=${one.valor}><th scope="row">${one.valor === null ? "Sem informação" : html`<a class="row-link" href=${hashOf(`/${place}`, { ...filters, [filter]: one.valor })}>${names?.get(one.valor) ?? one.valor}</a>`}
        <span class="share" aria-hidden="true"><span style=${{ width: `${(100 * one.registros) / most}%` }}></span></span></th>
      <td class="number">${integer(one.registros)}</td><td class="number">${shortMoney(one[amount] ?? 0)}</td></tr>`)}</tbody></table>
    ${rows.length < all.length && html`<p class="muted small">e mais ${all.length - rows.length}</p>`}${!rows.length && html`<p class="calm">Nada no período.</p>`}<//>`;
}
