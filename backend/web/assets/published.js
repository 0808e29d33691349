// Of each day what the portal has published and what of it is loaded.
import { withQuery } from "./api.js";
import { Bars } from "./charts.js";
import { addDays, integer, today } from "./format.js";
import { useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { ResourceChoice, resourceOf, useResources } from "./resources.js";
import { hashOf } from "./router.js";
import { Card, Skeleton } from "./ui.js";

const DAYS = 30;

export function Published({ busy }) {
  const resources = useResources();
  const [name, choose] = useState("contratacoes");
  const resource = resourceOf(resources, name);
  const path = withQuery("/sync/coverage", { from: addDays(today(), 1 - DAYS), to: today(), resource: resource.name });
  const { data } = useLive(path, busy ? 15000 : 60000);
  return html`<${Card} id="published" title="Publicado e carregado por dia" aside=${html`<a href=${hashOf("/cobertura", { recurso: resource.name })}>Cobertura</a>`}>
    <div class="filters"><${ResourceChoice} resources=${resources} value=${resource.name} change=${choose} /></div>
    ${data ? html`<${Chart} days=${data.days} label=${resource.label} />` : html`<${Skeleton} height=${150} />`}<//>`;
}

// Days of which the portal's own count is not known show what is loaded alone.
const lackOf = (one) => Math.max((one.total_registros ?? 0) - one.records, 0);

function Chart({ days, label }) {
  const loaded = days.reduce((sum, one) => sum + one.records, 0);
  const lack = days.reduce((sum, one) => sum + lackOf(one), 0);
  const never = days.filter((one) => one.state === "never").length;
  const headline = lack ? `${integer(loaded)} de ${integer(loaded + lack)}` : integer(loaded);
  return html`<${Bars} title=${label} headline=${headline} format=${integer}
      summary=${`${label} nos últimos ${DAYS} dias: ${integer(loaded)} carregados, ${integer(lack)} publicados que faltam, ${integer(never)} dias nunca lidos.`}
      days=${days.map((one) => ({
        day: one.day,
        parts: [
          { value: one.records, tone: "main" },
          { value: lackOf(one), tone: "lack" },
        ],
        text: textOf(one),
      }))} />
    <ul class="legend" aria-label="Legenda"><li><span class="swatch main" aria-hidden="true"></span>carregado</li><li><span class="swatch lack" aria-hidden="true"></span>publicado, falta carregar</li>
      ${never > 0 && html`<li>${integer(never)} de ${DAYS} dias nunca lidos</li>`}</ul>`;
}

function textOf(one) {
  if (one.state === "never") return "nunca lido";
  return one.total_registros == null ? integer(one.records) : `${integer(one.records)} de ${integer(one.total_registros)}`;
}
