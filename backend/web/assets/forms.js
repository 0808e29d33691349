// Fields that say what is wrong with them.
import { html } from "./preact.js";

// A field of a form with its fault, if it has one.
export const Field = ({ name, label, fault, change, hint, ...rest }) =>
  html`<label class=${fault ? "faulty" : ""}>${label}<input name=${name} aria-invalid=${fault ? "true" : undefined} aria-describedby=${fault ? `${name}-fault` : undefined}
      onInput=${(event) => change(event.target.value)} ...${rest} />
    ${hint && html`<span class="hint">${hint}</span>`}${fault && html`<span class="fault" id=${`${name}-fault`}>${fault}</span>`}</label>`;

// The first field with a fault gets the focus, once it has been drawn.
export function focusFault(form, names) {
  const field = form && [...form.elements].find((one) => names.includes(one.name));
  if (field) setTimeout(() => field.focus());
}
