// Bars over days or months, as SVG, with the figures of the one that is pointed at, and all of them as a table.
import { numericDay, shortDay, shortMonth, spokenMonth } from "./format.js";
import { html, useState } from "./preact.js";

const DAYS = { span: "30 dias", by: "por dia", short: shortDay, long: numericDay, end: "hoje" };
export const MONTHS = { span: "12 meses", by: "por mês", short: shortMonth, long: spokenMonth, end: "este mês" };

// `days`: [{day, parts: [{value, tone}], text}]; `summary` is what a screen reader hears of it.
export function Bars({ title, summary, days, format, headline, scale = DAYS }) {
  const [pointed, point] = useState(null);
  const [listed, list] = useState(false);
  const highest = Math.max(...days.map((one) => one.parts.reduce((sum, part) => sum + (part.value ?? 0), 0)), 0);
  const step = 300 / days.length;
  const shown = pointed === null ? null : days[pointed];
  const move = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const n = Math.floor(((event.clientX - box.left) / box.width) * days.length);
    point(Math.min(Math.max(n, 0), days.length - 1));
  };
  return html`<figure class="chart">
    <figcaption><span class="chart-title">${title}</span>
      <button type="button" class="link" aria-expanded=${listed ? "true" : "false"}
      aria-label=${`${title}: ${listed ? "ver gráfico" : "ver números"}`} onClick=${() => list(!listed)}>${listed ? "gráfico" : "números"}</button>
        </figcaption>
    <p class="chart-figure" aria-hidden="true">${shown ? html`<strong>${shown.text}</strong> <span>${scale.short(shown.day)}</span>` : html`<strong>${headline}</strong> <span>${scale.span}</span>`}</p>
    ${
      listed
        ? html`<div class="chart-table" tabindex="0" role="region" aria-label=${`${title} ${scale.by}`}><table>
          <caption class="unseen">${title} ${scale.by}</caption><tbody>${[...days]
            .reverse()
            .map(
              (one) => html`<tr key=${one.day}><th scope="row">${scale.long(one.day)}</th><td>${one.text}</td></tr>`,
            )}</tbody></table></div>`
        : html`<svg class="bars" viewBox="0 0 300 90" preserveAspectRatio="none" role="img" aria-label=${summary} onMouseMove=${move} onMouseLeave=${() => point(null)}>
          ${[0.5, 1].map((share) => html`<line class="grid" x1="0" x2="300" y1=${88 - 84 * share} y2=${88 - 84 * share} />`)}
          ${days.map((one, n) => {
            let base = 88;
            return html`<g key=${one.day} class=${pointed === n ? "pointed" : ""}>
              <rect class="slot" x=${n * step} y="0" width=${step} height="90" />
              ${one.parts.map((part) => {
                const height = highest ? Math.max((84 * (part.value ?? 0)) / highest, part.value ? 2 : 0) : 0;
                base -= height;
                return html`<rect class="bar ${part.tone}" x=${n * step + step * 0.16} y=${base} width=${step * 0.68} height=${height} rx="1" />`;
              })}
            </g>`;
          })}
          <line class="axis" x1="0" x2="300" y1="88.5" y2="88.5" />
        </svg>`
    }
    ${
      !listed &&
      html`<p class="chart-ends" aria-hidden="true"><span>${scale.short(days[0].day)}</span>
      <span>máx. ${format(highest)}</span><span>${scale.end}</span></p>`
    }
  </figure>`;
}
