// The form in front of everything, where the server wants to know who asks.
import { request } from "./api.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { session } from "./session.js";
import { Button } from "./ui.js";

export function Login({ enter }) {
  const [trouble, tell] = useState("");
  const [busy, setBusy] = useState(false);
  const [left, setLeft] = useState(0);
  const first = useRef();
  useEffect(() => first.current?.focus(), []);
  useEffect(() => {
    if (!left) return undefined;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);

  const submit = async (event) => {
    event.preventDefault();
    const fields = event.currentTarget;
    if (busy || left) return;
    setBusy(true);
    tell("");
    try {
      const form = { grant_type: "password", username: fields.username.value, password: fields.password.value };
      const { access_token: token } = await request("POST", "/auth/token", { form });
      session.keep(token);
      await enter();
    } catch (error) {
      fields.password.value = "";
      fields.password.focus();
      if (error.status === 429) setLeft(Math.min(error.retryAfter || 60, 3600));
      tell(error.status === 401 ? "Usuário ou senha não conferem." : error.message);
    } finally {
      setBusy(false);
    }
  };

  const { note } = session.get();
  return html`<main class="login" id="content">
    <form onSubmit=${submit} class="card" aria-labelledby="login-title">
      <img src="/assets/icon.svg" alt="" width="44" height="44" />
      <h1 id="login-title">PNCP Sync</h1>
      <p class="muted">${note || "Entre para ver e comandar o espelho do PNCP."}</p>
      <label>Usuário<input ref=${first} name="username" autocomplete="username" autocapitalize="none" spellcheck=${false} required maxlength="128" />
        </label>
      <label>Senha<input name="password" type="password" autocomplete="current-password" required maxlength="1024" />
        </label>
      <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}${left > 0 ? ` Tente de novo em ${left} s.` : ""}</p>`}</div>
      <${Button} type="submit" kind="primary wide" busy=${busy} disabled=${left ? `Espere ${left} s` : ""}>${busy ? "Entrando…" : "Entrar"}<//>
    </form>
  </main>`;
}
