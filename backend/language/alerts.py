"""The sentences of alerts: one line of each kind, why it ended, and the parts of a message."""

_KINDS = {
    "sync": ("sincronização com falhas", "failing synchronisation"),
    "source": ("portal que não responde", "portal that does not answer"),
    "empty": ("listagens vazias", "empty listings"),
    "rejected": ("registros rejeitados", "rejected records"),
    "database": ("banco de dados com falhas", "failing database"),
    "itens": ("itens que faltam", "missing items"),
    "drift": ("campos que mudaram de tipo", "fields that changed their type"),
    "queue": ("fila sem leitor", "queue without a reader"),
    "delivery": ("entregas a {about}", "deliveries to {about}"),
    "import": ("importações com problemas", "imports with problems"),
    "extract": ("leitura de {about}", "reading of {about}"),
}
_SUMMARIES = {
    "failed": ("{count:# execução falhou|# execuções falharam}", "{count:# execution|# executions} failed"),
    "to_be_repeated": ("{count:number} ainda por refazer", "{count:number} still to be repeated"),
    "gap": (
        "há uma lacuna por ler desde {since:moment}, embora as atualizações sigam",
        "there is a gap to be read since {since:moment}, though updates go on",
    ),
    "part_never": (
        "alguma parte ainda não teve atualização com sucesso",
        "some part has not had an update that succeeded",
    ),
    "no_success_since": (
        "nenhuma atualização teve sucesso desde {since:moment}",
        "no update has succeeded since {since:moment}",
    ),
    "no_success": ("nenhuma atualização teve sucesso até agora", "no update has succeeded so far"),
    "outage": (
        "o portal (serviço {service}) {how} desde {since:moment}; nova tentativa às {next_try:clock}",
        "the portal (service {service}) {how} since {since:moment}; next try at {next_try:clock}",
    ),
    "database": ("o banco de dados não grava o que foi lido", "the database does not store what was read"),
    "day_empty": ("o dia {day:day} foi lido sem nenhum registro", "the day {day:day} was read without any record"),
    "listing_empty": (
        "o dia {day:day} foi lido sem nenhum registro na modalidade {part}",
        "the day {day:day} was read without any record of modalidade {part}",
    ),
    "more_listings": ("e mais {count:number} listagens", "and {count:number} more listings"),
    "quiet": (
        "as atualizações não trazem nada desde {since:moment}",
        "updates have brought nothing since {since:moment}",
    ),
    "rejected": (
        "{count:# registro não pôde ser gravado|# registros não puderam ser gravados}",
        "{count:# record|# records} could not be stored",
    ),
    "day_incomplete": ("o dia {day:day} não está completo", "the day {day:day} is not complete"),
    "days_incomplete": (
        "{count:number} dias de {first:day} a {last:day} não estão completos",
        "{count:number} days from {first:day} to {last:day} are not complete",
    ),
    "owed": (
        "{resource:label}: faltam os itens de {count:# registro|# registros}, desde {since:moment}",
        "{resource:label}: the items of {count:# record|# records} are missing, since {since:moment}",
    ),
    "set_aside": (
        "{count:# foi posto|# foram postos} de lado após muitas tentativas",
        "{count:# was|# were} set aside after many tries",
    ),
    "drift": (
        "o portal manda valores que não cabem na coluna: {fields}; a coluna fica nula, payload guarda o que veio",
        "the portal sends values that do not fit their column: {fields}; the column is null, payload keeps what came",
    ),
    "fields_and_more": ("{names} e mais {count:number}", "{names} and {count:number} more"),
    "queue": (
        "mensagens esperam desde {since:moment} e ninguém as lê",
        "messages have waited since {since:moment} and nothing reads them",
    ),
    "of_destination": ("{destination}: {said}", "{destination}: {said}"),
    "delivery_stopped": (
        "o destino não quer mais receber, desde {since:moment}",
        "the destination has wanted no more since {since:moment}",
    ),
    "delivery_failing": ("o destino falha desde {since:moment}", "the destination has failed since {since:moment}"),
    "delivery_hold_above": (
        "a entrega {id} espera confirmação: deve {count:# registro|# registros}",
        "delivery {id} waits to be confirmed: it owes {count:# record|# records}",
    ),
    "delivery_mostly_refused": (
        "a entrega {id} espera confirmação: quase tudo foi recusado",
        "delivery {id} waits to be confirmed: nearly everything was refused",
    ),
    "delivery_failed": ("a entrega {id} falhou: {why}", "delivery {id} failed: {why}"),
    "delivery_rejected": (
        "{count:# registro rejeitado|# registros rejeitados} no último dia",
        "{count:# record was|# records were} rejected in the last day",
    ),
    "delivery_invalid": (
        "{count:# erro|# erros} no arquivo do destino",
        "{count:# fault|# faults} in the destination's file",
    ),
    "imports_refused": (
        "{count:# arquivo da pasta foi recusado|# arquivos da pasta foram recusados}, por último {file}",
        "{count:# file of the folder was|# files of the folder were} refused, lately {file}",
    ),
    "rows_waiting": (
        "{count:# linha espera|# linhas esperam} há mais de um dia por registros de {entity}",
        "{count:# row has|# rows have} waited for over a day for records of {entity}",
    ),
    "of_source": ("{source}: {said}", "{source}: {said}"),
    "extract_failing": (
        "a fonte não responde desde {since:moment}",
        "the source has not answered since {since:moment}",
    ),
    "extract_many_removed": (
        "a leitura {id} espera confirmação: {count:# registro|# registros} de {entity} sumiram da fonte",
        "reading {id} waits to be confirmed: {count:# record|# records} of {entity} are gone from the source",
    ),
    "extract_failed": ("a leitura {id} falhou: {why}", "reading {id} failed: {why}"),
    "extract_invalid": (
        "{count:# erro|# erros} no arquivo da fonte",
        "{count:# fault|# faults} in the source's file",
    ),
    "several": ("{parts}", "{parts}"),
}
_ENDS = {
    "delivery": (
        "o destino recebe de novo, ou foi posto em pausa",
        "the destination receives again, or was paused",
    ),
    "import": (
        "os registros que faltavam vieram, ou as recusas têm mais de um dia",
        "the missing records have come, or the refusals are more than a day old",
    ),
    "extract": (
        "a fonte é lida de novo, ou foi posta em pausa",
        "the source is read again, or was paused",
    ),
    "queue": (
        "há de novo quem leia a fila, ou nada espera nela",
        "the queue is read again, or nothing waits in it",
    ),
    "source": (
        "o portal voltou a responder, ou nada mais lhe é pedido",
        "the portal answers again, or nothing is asked of it any more",
    ),
    "empty": (
        "vieram registros, ou a suspeita foi encerrada por ter mais de dois dias",
        "records have come, or the suspicion was closed as it is more than two days old",
    ),
    "rejected": (
        "os registros foram gravados, ou o portal não os traz mais",
        "the records were stored, or the portal does not list them any more",
    ),
    "database": ("o banco de dados voltou a gravar", "the database stores again"),
    "itens": ("os itens que faltavam vieram", "the missing items have come"),
    "drift": ("nenhum valor assim veio há {days} dias", "no such value has come for {days} days"),
    "given_up": (
        "o que falhou não foi refeito em {days} dias e deixa de ser cobrado",
        "what failed was not made good in {days} days and is no longer asked for",
    ),
    "made_good": ("o que falhou foi refeito", "what failed was made good"),
    "schedule_paused": (
        "a agenda de atualizações foi posta em pausa",
        "the schedule of updates was paused",
    ),
    "gap_read": ("a lacuna foi lida", "the gap was read"),
    "updated": (
        "uma atualização teve sucesso em {at:moment}",
        "an update succeeded at {at:moment}",
    ),
    "schedule_changed": ("a agenda de atualizações mudou", "the schedule of updates has changed"),
    "nothing": ("nada mais falha", "nothing fails any more"),
}
_MESSAGES = {
    "subject.opened": (
        "[PNCP Sync] Alerta: {kind} desde {began:moment}",
        "[PNCP Sync] Alert: {kind} since {began:moment}",
    ),
    "subject.reminder": (
        "[PNCP Sync] Lembrete: {kind} desde {began:moment}",
        "[PNCP Sync] Reminder: {kind} since {began:moment}",
    ),
    "subject.recovered": (
        "[PNCP Sync] Resolvido: {kind} desde {began:moment}",
        "[PNCP Sync] Resolved: {kind} since {began:moment}",
    ),
    "began": (
        "{kind:capital} desde {began:moment} (horário de Brasília).",
        "{kind:capital} since {began:moment} (Brasília time).",
    ),
    "lasted": (
        "{kind:capital} desde {began:moment} (horário de Brasília), até {ended:moment}.",
        "{kind:capital} since {began:moment} (Brasília time), until {ended:moment}.",
    ),
    "ended": ("Terminou: {why}.", "It ended: {why}."),
    "what": ("O que houve: {summary}.", "What happened: {summary}."),
    "to_do": ("O que fazer:", "What to do:"),
    "mirror": ("O espelho agora:", "The mirror now:"),
    "technical": ("Detalhe técnico:", "Technical detail:"),
    "link": ("Ver: {link}", "See: {link}"),
    "page": ("Página: {link}", "Page: {link}"),
    "executions": ("Execuções que falharam:", "Executions that failed:"),
    "execution": ("- {id}, {what}, {finished:moment}: {why}", "- {id}, {what}, {finished:moment}: {why}"),
    "execution_mended": (
        "- {id}, {what}, {finished:moment} (já não falha): {why}",
        "- {id}, {what}, {finished:moment} (made good): {why}",
    ),
    "run": ("{mode} {trigger}", "{mode} {trigger}"),
    "run_of_days": (
        "{mode} {trigger}, {first:day} a {last:day} por {criterio}",
        "{mode} {trigger}, {first:day} to {last:day} by {criterio}",
    ),
    "more": ("- e mais {count:number}", "- and {count:number} more"),
    "about.execution": ("execução {id}: {said}", "execution {id}: {said}"),
    "about.service": ("serviço {service}: {said}", "service {service}: {said}"),
    "about.itens": ("itens: {said}", "items: {said}"),
    "about.import": ("importação {id}: {said}", "import {id}: {said}"),
    "about.delivery": ("destino: {said}", "destination: {said}"),
    "about.extract": ("fonte: {said}", "source: {said}"),
    "about.database": ("banco de dados: {said}", "database: {said}"),
    "follows.end": ("Uma mensagem avisará quando passar.", "A message will say when it is over."),
    "follows.reminder": (
        "Um lembrete vem a cada {every} enquanto durar, e uma mensagem avisará quando passar.",
        "A reminder comes every {every} while it lasts, and a message will say when it is over.",
    ),
    "unexplained": ("sem explicação", "without an explanation"),
    "test.subject": ("[PNCP Sync] Teste dos alertas", "[PNCP Sync] Test of the alerts"),
    "test.text": (
        "Esta é uma mensagem de teste do PNCP Sync: os alertas chegam por aqui. Não há nada a fazer.",
        "This is a test message of PNCP Sync: alerts come this way. There is nothing to do.",
    ),
    "mode.update": ("atualização", "update"),
    "mode.backfill": ("carga", "backfill"),
    "criterio.publicacao": ("publicação", "publication"),
    "criterio.atualizacao": ("alteração", "change"),
    "trigger.api": ("pedida pela API", "asked for by the API"),
    "trigger.message": ("pedida por mensagem", "asked for by a message"),
    "trigger.schedule": ("da agenda", "of the schedule"),
    "trigger.sweep": ("da varredura noturna", "of the nightly sweep"),
    "trigger.gap": ("de uma lacuna", "of a gap"),
    "trigger.retry": ("que repete outra", "that repeats another one"),
    "trigger.goal": ("de uma meta", "of a goal"),
}
_ADVICE = {
    "extract": (
        (
            "- Enquanto a fonte não responde, tenta-se de novo por 24 horas; nada se remove, e nada se perde.\n"
            "- Se uma coluna sumiu ou mudou de tipo, corrija a visão, ou o arquivo em sources/.\n"
            "- Uma leitura retida espera até ser confirmada, o que remove os registros, ou cancelada."
        ),
        (
            "- While the source does not answer it is tried again for 24 hours; nothing is removed, and nothing lost.\n"
            "- If a column is gone or has another type, mend the view, or the file in sources/.\n"
            "- A reading that is held waits until it is confirmed, which removes the records, or cancelled."
        ),
    ),
    "delivery": (
        (
            "- A página Entregas mostra o que o destino respondeu, e por que os registros foram rejeitados.\n"
            "- Enquanto o destino falha, nada se acumula: quando voltar, recebe a última versão de cada registro.\n"
            "- Uma entrega retida espera até ser confirmada ou cancelada; um destino parado, até ser retomado."
        ),
        (
            "- The page Entregas shows what the destination answered, and why records were rejected.\n"
            "- While a destination fails nothing piles up: later it gets the newest version of each record.\n"
            "- A delivery that is held waits until it is confirmed or cancelled; a stopped destination until resumed."
        ),
    ),
    "import": (
        (
            "- Um arquivo recusado está em recusados/, com o motivo ao lado (.erros.csv): corrija e deixe de novo.\n"
            "- A página Entradas mostra cada linha. O que espera é gravado quando vier o registro que falta, e\n"
            "  recusado depois de 30 dias."
        ),
        (
            "- A refused file lies in recusados/, with the reason beside it (.erros.csv): correct it, leave it again.\n"
            "- The page Entradas shows each row. What waits is stored when the missing record comes, and refused\n"
            "  after 30 days."
        ),
    ),
    "source": (
        (
            "- Em geral não há nada a fazer: por pausa há uma só tentativa, e tudo segue dali quando o portal\n"
            "  responder. Uma atualização espera até uma hora, uma carga até 24.\n"
            "- Se o portal responde no navegador (https://pncp.gov.br), a causa provável está na rede daqui, num\n"
            "  proxy ou num bloqueio deste endereço."
        ),
        (
            "- As a rule there is nothing to do: there is one try in each pause, and everything goes on from where it\n"
            "  stopped as soon as the portal answers. An update waits for an hour, a backfill for 24.\n"
            "- If the portal answers in a browser (https://pncp.gov.br), the cause is probably this network, a proxy\n"
            "  or a block of this address."
        ),
    ),
    "queue": (
        (
            "- Há um ingestor em pé, e ele alcança o RabbitMQ? O registro (log) dele diz por que perde a conexão.\n"
            "- O que foi pedido pela API corre mesmo assim: os ingestores o acham no banco em meio minuto."
        ),
        (
            "- Is an ingestor up, and does it reach RabbitMQ? Its log says why it loses the connection.\n"
            "- What was requested by the API runs all the same: the ingestors find it within half a minute."
        ),
    ),
    "itens": (
        (
            "- Se o serviço de itens do portal falha, espere: os ingestores leem por si o que falta.\n"
            "- python -m ingestor itens lista o que falta e por quê; --retry tenta de novo o que foi posto de lado."
        ),
        (
            "- If the portal's service of items fails, wait: the ingestors read what is missing by themselves.\n"
            "- python -m ingestor itens lists what is missing and why; --retry tries again what was set aside."
        ),
    ),
    "drift": (
        (
            "- Nada se perdeu: payload guarda o que veio. GET /sync/dashboard tem um exemplo de cada campo (drift).\n"
            "- Veja se há uma versão mais nova do PNCP Sync; depois dela, uma carga preenche as colunas."
        ),
        (
            "- Nothing is lost: payload keeps what came. GET /sync/dashboard has an example of each field (drift).\n"
            "- See whether there is a newer version of PNCP Sync; after it a backfill fills the columns."
        ),
    ),
    "empty": (
        (
            "- Confira no portal (https://pncp.gov.br) se há mesmo tão pouco; feriados trazem pouco, não nada.\n"
            "- Peça o dia de novo: ./pncp sync --backfill DIA DIA (de outro recurso que contratações com\n"
            "  --resource NOME), ou POST /sync/force. Se vierem registros, basta."
        ),
        (
            "- Check in the portal (https://pncp.gov.br) if there is so little; holidays bring little, not nothing.\n"
            "- Ask for the day again: ./pncp sync --backfill DAY DAY (of another resource than contratações with\n"
            "  --resource NAME), or POST /sync/force. If records come, that is all."
        ),
    ),
    "rejected": (
        (
            "- Veja quais e por quê: ./pncp rejected (ou python -m ingestor rejected).\n"
            "- Se o motivo é um campo que o programa não aceita, atualize-o e tente de novo: ./pncp rejected --retry.\n"
            "- Se o portal os corrigir, a próxima leitura os grava sozinha."
        ),
        (
            "- See which and why: ./pncp rejected (or python -m ingestor rejected).\n"
            "- If the reason is a field that the program does not accept, upgrade it and try again:\n"
            "  ./pncp rejected --retry.\n"
            "- If the portal corrects them, the next reading stores them by itself."
        ),
    ),
    "database": (
        (
            "- Nada se perde: o que não foi gravado será lido e gravado de novo, sem pedir.\n"
            "- Veja o espaço em disco, as travas (pg_locks) e o registro (log) do PostgreSQL."
        ),
        (
            "- Nothing is lost: what was not stored will be read and stored again, without a request.\n"
            "- Check the disk space, the locks (pg_locks) and the log of PostgreSQL."
        ),
    ),
    "retry": (
        (
            "- Se o portal falhou, espere que volte. Uma atualização recomeça sozinha de onde a última parou.\n"
            "- Repita só o que falhou, por exemplo ./pncp retry {id}, ou POST /sync/executions/{id}/retry; tudo, com\n"
            "  POST /sync/retry-failed."
        ),
        (
            "- If the portal failed, wait until it is back. An update goes on by itself from where it stopped.\n"
            "- Repeat only what failed, ./pncp retry {id} say, or POST /sync/executions/{id}/retry; all of it\n"
            "  with POST /sync/retry-failed."
        ),
    ),
    "overdue": (
        "- Há um ingestor em pé, e ele alcança o banco de dados e o portal? O registro (log) dele diz.",
        "- Is an ingestor up, and does it reach the database and the portal? Its log says so.",
    ),
    "guide": (
        "- O guia de operação (docs/operating.md) segue daqui: When a synchronisation fails.",
        "- The guide (docs/operating.md) goes on from here: When a synchronisation fails.",
    ),
}
SENTENCES = {
    **{f"alert.kind.{kind}": named for kind, named in _KINDS.items()},
    **{f"alert.{code}": said for code, said in _SUMMARIES.items()},
    **{f"alert.end.{code}": said for code, said in _ENDS.items()},
    **{f"mail.{code}": said for code, said in _MESSAGES.items()},
    **{f"mail.advice.{kind}": said for kind, said in _ADVICE.items()},
}
