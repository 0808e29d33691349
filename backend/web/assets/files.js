// The files of whole years, made beforehand: what is in each, and whether the mirror had everything.
import { request } from "./api.js";
import { faultsOf, useDescription } from "./described.js";
import { Save } from "./exports.js";
import { bytes, integer, wallTime } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { Badge, Button, Card, Copy, Empty, Skeleton, Table, toast, Trouble, When } from "./ui.js";

export function Files() {
  const { data, error } = useLive("/arquivos", (known) => (isMaking(known) ? 3000 : 60000));
  if (!data) return error ? html`<${Trouble} error=${error} again=${() => refresh("/arquivos")} />` : html`<${Card}><${Skeleton} lines=${8} /><//>`;
  const entities = [...new Set(data.arquivos.map((one) => one.entidade))];
  return html`<header class="view-head"><h1>Arquivos prontos</h1>
      <p class="muted">Todos os registros de cada ano, com os CPFs mascarados. ${data.horario === "off" ? "São feitos só a pedido." : data.proxima ? html`Próxima geração: <${When} moment=${data.proxima} />.` : ""}</p></header>
    <${Making} round=${data.geracao} isMaking=${isMaking(data)} />
    ${entities.length ? entities.map((name) => html`<${FilesOf} key=${name} entity=${name} files=${data.arquivos.filter((one) => one.entidade === name)} />`)
      : html`<${Card}><${Empty} title="Nenhum arquivo foi feito ainda" icon="download">${data.horario === "off" ? "Um administrador pode fazê-los agora, ou marcar um horário em FILES_CRON." : "Aparecem depois da primeira geração."}<//><//>`}`;
}

const isMaking = (data) => Boolean(data?.geracao && !data.geracao.terminada_em);

function Making({ round, isMaking: isUnderWay }) {
  const [busy, setBusy] = useState(false);
  const make = async () => {
    setBusy(true);
    try {
      await request("POST", "/arquivos");
      await refresh("/arquivos");
    } catch (error) {
      toast(error.message, "bad");
    } finally {
      setBusy(false);
    }
  };
  return html`<div class="job-foot"><span class="muted" role="status">${isUnderWay ? `Os arquivos estão sendo feitos: ${integer(round.arquivos_feitos)} até agora.`
      : round ? html`Última geração <${When} moment=${round.terminada_em} />: ${integer(round.arquivos_feitos)} feitos, ${integer(round.arquivos_iguais)} sem mudança.${round.erro && html` <span class="bad-text">${round.erro}</span>`}` : ""}</span>
    <${Button} writes kind="small" icon="refresh" busy=${busy || isUnderWay} onClick=${make}>${isUnderWay ? "Fazendo…" : "Fazer agora"}<//></div>`;
}

const COLUMNS = [
  { title: "Arquivo", kind: "name", cell: (one) => one.nome },
  { title: "Linhas", kind: "number", cell: (one) => integer(one.registros) },
  { title: "Tamanho", kind: "number", cell: (one) => bytes(one.bytes) },
  { title: "Cobertura", cell: (one) => html`<${Coverage} mirror=${one.espelho} />` },
  { title: "Feito em", cell: (one) => html`<${When} moment=${one.feito_em} />` },
  { title: "SHA-256", cell: (one) => html`<${Copy} text=${one.sha256} shown=${`${one.sha256.slice(0, 10)}…`} label="Copiar o SHA-256" />` },
  { title: "Baixar", kind: "number", cell: (one) => html`<${Save} path=${`/arquivos/${one.nome}`} name=${one.nome} />` },
];

function Coverage({ mirror }) {
  const faults = faultsOf(mirror);
  const until = mirror.ate ? `; mudanças lidas até ${wallTime(mirror.ate)}` : "";
  return faults.length ? html`<span><${Badge} tone="warn">incompleto<//><span class="small muted">${faults.join("; ")}${until}</span></span>`
    : html`<${Badge} tone="good" title=${`Espelho completo${until}`}>completo<//>`;
}

function FilesOf({ entity, files }) {
  const { data } = useDescription(entity.replaceAll("_", "-"));
  return html`<${Card} title=${data?.rotulo ?? entity} id=${`arquivos-${entity}`}><${Table} columns=${COLUMNS} rows=${files} keyOf=${(one) => one.nome} caption=${`Arquivos: ${data?.rotulo ?? entity}`} /><//>`;
}
