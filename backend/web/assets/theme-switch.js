// Light, dark, or as the system has it.
import { html, useState } from "./preact.js";
import { Icon } from "./ui.js";

const ORDER = ["auto", "light", "dark"];
const NAMES = { auto: "do sistema", light: "claro", dark: "escuro" };
const PICTURES = { auto: "system", light: "sun", dark: "moon" };

export function ThemeSwitch() {
  const [chosen, choose] = useState(document.documentElement.dataset.theme ?? "auto");
  const change = () => {
    const next = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("pncp-theme", next);
    } catch {
      // then until the page is closed
    }
    choose(next);
  };
  const text = `Tema ${NAMES[chosen]}; mudar para ${NAMES[ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length]]}`;
  return html`<button type="button" class="ghost" aria-label=${text} title=${text} onClick=${change}><${Icon} name=${PICTURES[chosen]} />
    </button>`;
}
