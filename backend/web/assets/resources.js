// What can be synchronised, by the API's names and labels.
import { useLive } from "./live.js";
import { html } from "./preact.js";

const MAIN = { name: "contratacoes", label: "Contratações", criterios: ["publicacao", "atualizacao"], is_divided: true, is_scheduled: true };

// Contratações alone until the answer is there, or where a server has no such list.
export const useResources = () => useLive("/sync/resources", 300000).data?.resources ?? [MAIN];

export const resourceOf = (resources, name) => resources.find((one) => one.name === name) ?? resources[0];

// A choice among them; `all` is what the empty choice is called, where there is one.
export const ResourceChoice = ({ resources, value, change, all }) =>
  resources.length > 1 &&
  html`<label>O quê<select name="resource" value=${value} onChange=${(event) => change(event.target.value)}>
    ${all && html`<option value="">${all}</option>`}
    ${resources.map((one) => html`<option key=${one.name} value=${one.name} selected=${one.name === value}>${one.label}</option>`)}
  </select></label>`;
