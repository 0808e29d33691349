"""The sentences of the verdict: each judgement has a title and a text, each action a label."""

_SO_MANY = (
    "{complete:number} de {days:# dia|# dias} lidos por inteiro. {goal}",
    "{complete:number} of {days:# day|# days} read whole. {goal}",
)
_PAIRS = {
    # --- fresh -----------------------------------------------------------------------------------------------
    "no_worker": (
        ("Nenhum ingestor ativo", "No ingestor is running"),
        (
            "Nada é lido até que um apareça. Inicie um: docker compose up -d ingestor, ou ./pncp up.",
            "Nothing is read until there is one. Start one: docker compose up -d ingestor, or ./pncp up.",
        ),
    ),
    "portal_away": (
        (
            "{service} {how} desde {since:time}; nova tentativa em {left:duration}",
            "{service} {how} since {since:time}; next try in {left:duration}",
        ),
        (
            "{updated}. Tudo segue sozinho quando o portal voltar.",
            "{updated}. Everything goes on by itself when the portal is back.",
        ),
    ),
    "portal_failing": (
        (
            "O portal está falhando; novas tentativas automáticas",
            "The portal is failing; it is tried again automatically",
        ),
        (
            "{service} {how} desde {since:time}; nova tentativa em {left:duration}. {updated}.",
            "{service} {how} since {since:time}; next try in {left:duration}. {updated}.",
        ),
    ),
    "portal_throttled": (
        ("O portal pede pausas desde {since:time}", "The portal has asked for pauses since {since:time}"),
        (
            "A leitura segue mais devagar: {service} pediu a última pausa por {left:duration}. {updated}.",
            "Reading goes on more slowly: {service} has asked for its last pause for {left:duration}. {updated}.",
        ),
    ),
    "update_paused": (
        ("A agenda de atualizações está em pausa", "The schedule of updates is paused"),
        (
            "{updated}. Em pausa desde {since:time} por {by}: {reason}",
            "{updated}. Paused since {since:time} by {by}: {reason}",
        ),
    ),
    "schedule_off": (
        ("Nada é atualizado sozinho há {age:duration}", "Nothing has been updated by itself for {age:duration}"),
        (
            "{updated}. A agenda está desligada (SCHEDULE_ENABLED).",
            "{updated}. The schedule is off (SCHEDULE_ENABLED).",
        ),
    ),
    "updates_failing": (
        ("As atualizações falham desde {since:time}", "Updates have failed since {since:time}"),
        ("{updated}. A última falhou: {why}.", "{updated}. The last one failed: {why}."),
    ),
    "never_updated": (
        ("Ainda não atualizou", "Not updated yet"),
        (
            "Nenhuma atualização terminou. Próxima: {due:time}.",
            "No update has ended. Next one: {due:time}.",
        ),
    ),
    "never_updated_off": (
        ("Ainda não atualizou", "Not updated yet"),
        (
            "Nenhuma atualização terminou, e a agenda está desligada (SCHEDULE_ENABLED).",
            "No update has ended, and the schedule is off (SCHEDULE_ENABLED).",
        ),
    ),
    "first_update_partial": (
        ("A primeira atualização está incompleta", "The first update is incomplete"),
        (
            "{missing:Falta # parte|Faltam # partes} de {parts:number}.",
            "{missing:# part is missing|# parts are missing} of {parts:number}.",
        ),
    ),
    "gap": (
        ("Há uma lacuna por ler desde {since:time}", "There is a gap to be read since {since:time}"),
        (
            "As atualizações seguem; a lacuna é lida por uma carga própria.",
            "Updates go on; a backfill of its own reads the gap.",
        ),
    ),
    "late": (
        ("Atrasado {age:duration}", "{age:duration} late"),
        (
            "{updated}; a atualização devida desde {due:time} ainda não terminou.",
            "{updated}; the update that is due since {due:time} has not ended yet.",
        ),
    ),
    "fresh": (
        ("Atualizado até {until:time}", "Up to date until {until:time}"),
        ("Próxima atualização: {due:time}.", "Next update: {due:time}."),
    ),
    "fresh_by_hand": (
        ("Atualizado até {until:time}", "Up to date until {until:time}"),
        (
            "A agenda está desligada (SCHEDULE_ENABLED): as atualizações são pedidas de fora.",
            "The schedule is off (SCHEDULE_ENABLED): updates are asked for from outside.",
        ),
    ),
    "not_kept": (
        ("Não é atualizado sozinho", "Not updated by itself"),
        ("Não está em PNCP_RESOURCES.", "It is not in PNCP_RESOURCES."),
    ),
    "nothing_updated": (
        ("Ainda não executou", "Nothing has run yet"),
        ("A primeira atualização ainda não começou.", "The first update has not begun yet."),
    ),
    # --- complete --------------------------------------------------------------------------------------------
    "days_failed": (
        ("{failed:# dia falhou|# dias falharam}", "{failed:# day failed|# days failed}"),
        (
            "{complete:number} de {days:# dia|# dias} lidos por inteiro; faltam {missing:number}. {goal}",
            "{complete:number} of {days:# day|# days} read whole; {missing:number} are missing. {goal}",
        ),
    ),
    "days_tried_again": (
        (
            "{failed:# dia falhou; será tentado|# dias falharam; serão tentados} de novo",
            "{failed:# day failed; it|# days failed; they} will be tried again",
        ),
        (
            "{complete:number} de {days:# dia|# dias} lidos por inteiro; faltam {missing:number}. {goal}",
            "{complete:number} of {days:# day|# days} read whole; {missing:number} are missing. {goal}",
        ),
    ),
    "filling_paused": (
        (
            "{missing:Falta # dia|Faltam # dias}, e o preenchimento está em pausa",
            "{missing:# day is missing|# days are missing}, and filling is paused",
        ),
        _SO_MANY,
    ),
    "days_missing": (
        ("{missing:Falta # dia|Faltam # dias}", "{missing:# day is missing|# days are missing}"),
        _SO_MANY,
    ),
    "days_rejected": (
        (
            "{rejected:# dia com registros rejeitados|# dias com registros rejeitados}",
            "{rejected:# day has rejected records|# days have rejected records}",
        ),
        (
            "Lidos por inteiro, mas com registros que não puderam ser gravados. {goal}",
            "Read whole, but with records that could not be stored. {goal}",
        ),
    ),
    "not_joined": (
        ("Os dias lidos não chegam às atualizações", "The days read do not reach the updates"),
        (
            "{complete:# dia lido|# dias lidos} por inteiro, mas nenhum desde a primeira atualização. {goal}",
            "{complete:# day|# days} read whole, but none since the first update. {goal}",
        ),
    ),
    "days_unknown": (
        ("Nenhum dia lido por inteiro", "No day has been read whole"),
        (
            "As atualizações só trazem o que muda a partir delas. {goal}",
            "Updates only bring what changes from then on. {goal}",
        ),
    ),
    "complete": (
        ("Completo desde {first:day}", "Complete since {first:day}"),
        ("{days:# dia lido|# dias lidos} por inteiro. {goal}", "{days:# day|# days} read whole. {goal}"),
    ),
    "complete_all": (
        ("Completo", "Complete"),
        (
            "{days:# dia lido|# dias lidos} por inteiro, de {resources:# recurso|# recursos}.",
            "{days:# day|# days} of {resources:# resource|# resources} read whole.",
        ),
    ),
    "nothing_read": (
        ("Nada foi lido ainda", "Nothing has been read yet"),
        ("{goal}", "{goal}"),
    ),
    # --- healthy ---------------------------------------------------------------------------------------------
    "healthy": (
        ("Nenhum problema", "No problems"),
        ("Tudo o que o espelho usa funciona.", "Everything that the mirror uses works."),
    ),
    "troubles": (
        ("{count:# problema pede|# problemas pedem} atenção", "{count:# problem needs|# problems need} attention"),
        ("{first}", "{first}"),
    ),
    "database_away": (
        ("O banco de dados está fora do ar", "The database is away"),
        ("Nada é lido nem gravado até que ele volte.", "Nothing is read or stored until it is back."),
    ),
    "unknown": (
        ("Não se sabe", "Unknown"),
        ("O banco de dados não responde.", "The database does not answer."),
    ),
    "database_read_only": (
        ("O banco de dados só aceita leitura", "The database is read-only"),
        (
            "Nada é gravado. Depois de uma troca de servidor, DATABASE_URL deve levar ao que aceita escrita.",
            "Nothing is stored. After a failover, DATABASE_URL has to lead to the writable server.",
        ),
    ),
    "database_failing": (
        ("O banco de dados não grava o que foi lido", "The database does not store what was read"),
        (
            "Nada se perde: será lido de novo. Veja o espaço em disco e o log do PostgreSQL.",
            "Nothing is lost: it will be read again. Check the disk space and the log of PostgreSQL.",
        ),
    ),
    "broker_away": (
        ("O RabbitMQ está fora do ar", "RabbitMQ is away"),
        (
            "Pedidos novos são recusados; o que já foi pedido e a agenda seguem.",
            "Requests are refused; what was requested before and the schedule go on.",
        ),
    ),
    "broker_blocked": (
        ("O RabbitMQ não aceita mensagens", "RabbitMQ takes no messages"),
        (
            "Há um alarme de memória ou de disco. Pedidos novos são recusados.",
            "It has an alarm of memory or disk. Requests are refused.",
        ),
    ),
    "queue_unread": (
        (
            "{count:# mensagem espera|# mensagens esperam} na fila sem ingestor que a leia",
            "{count:# message waits|# messages wait} in the queue without an ingestor that reads it",
        ),
        (
            "Veja se os ingestores alcançam o RabbitMQ. O que foi pedido pela API corre mesmo assim.",
            "Check that the ingestors reach RabbitMQ. What was requested by the API runs all the same.",
        ),
    ),
    "failed_updates": (
        ("{count:# atualização falhou|# atualizações falharam}", "{count:# update|# updates} failed"),
        (
            "A última às {last:time}: {why}. A próxima lê de novo o que faltou.",
            "The last one at {last:time}: {why}. The next one reads again what is missing.",
        ),
    ),
    "failed_backfills": (
        ("{count:# carga falhou|# cargas falharam}: {why}", "{count:# backfill|# backfills} failed: {why}"),
        ("{advice}", "{advice}"),
    ),
    "rejected": (
        ("{count:# registro rejeitado|# registros rejeitados}", "{count:# rejected record|# rejected records}"),
        (
            "{effect} ./pncp rejected mostra quais.",
            "{effect} ./pncp rejected shows which.",
        ),
    ),
    "itens_owed": (
        (
            "{list}: {count:# registro espera|# registros esperam} desde {since:time}",
            "{list}: {count:# record waits|# records wait} since {since:time}",
        ),
        (
            "{why:capital}. São lidos assim que o portal os der.",
            "{why:capital}. They are read as soon as the portal gives them.",
        ),
    ),
    "itens_set_aside": (
        (
            "{list}: {count:# registro posto|# registros postos} de lado",
            "{list}: {count:# record|# records} set aside",
        ),
        (
            "A leitura falhou demais e não é mais tentada. ./pncp itens --list {name} --retry tenta de novo.",
            "Reading failed too often and is not tried any more. ./pncp itens --list {name} --retry tries again.",
        ),
    ),
    "drift": (
        (
            "{count:# campo mudou|# campos mudaram} de tipo no portal",
            "{count:# field has|# fields have} changed its type in the portal",
        ),
        (
            "{fields}. A coluna fica vazia, e o valor está em payload.",
            "{fields}. The column is empty, and the value is in payload.",
        ),
    ),
    "alert": (
        ("{summary}", "{summary}"),
        ("Alerta aberto desde {since:time}.", "The alert is open since {since:time}."),
    ),
    "schedule_paused": (
        ("Agenda em pausa: {name}", "Paused schedule: {name}"),
        ("Em pausa desde {since:time} por {by}: {reason}", "Paused since {since:time} by {by}: {reason}"),
    ),
    # --- all together ----------------------------------------------------------------------------------------
    "ok": (
        ("Espelho em dia", "The mirror is up to date"),
        ("{fresh}. {complete}.", "{fresh}. {complete}."),
    ),
    "empty": (
        ("O espelho está vazio", "The mirror is empty"),
        (
            "Nada foi lido ainda. Comece pelos últimos dias, ou diga desde quando ele deve ser completo.",
            "Nothing has been read yet. Begin with the last days, or say since when it is to be complete.",
        ),
    ),
}

SENTENCES = {
    **{f"{code}.title": title for code, (title, _) in _PAIRS.items()},
    **{f"{code}.text": said for code, (_, said) in _PAIRS.items()},
    "drift.field": (
        "{path} ({kind}, {records:# registro|# registros})",
        "{path} ({kind}, {records:# record|# records})",
    ),
    "rejected_days": (
        "{days:# dia não está completo|# dias não estão completos} por causa deles.",
        "{days:# day is|# days are} not complete because of them.",
    ),
    "rejected_no_day": ("Nenhum dia depende deles.", "No day depends on them."),
    "of_resource": ("{resource:label}: {said:small}", "{resource:label}: {said:small}"),
    "and_others": (
        "{said} O mesmo com {others:outro recurso|outros # recursos}.",
        "{said} The same with {others:another resource|# other resources}.",
    ),
    "updated_until": ("Atualizado até {until:time}", "Up to date until {until:time}"),
    "not_updated": ("Ainda sem atualização", "Not updated yet"),
    "goal.from": ("A meta é desde {from_day:day}.", "The goal is from {from_day:day} on."),
    "goal.hours": (
        "A meta é desde {from_day:day}; cerca de {left:duration} por ler.",
        "The goal is from {from_day:day} on; about {left:duration} to be read.",
    ),
    "goal.paused": (
        "A meta é desde {from_day:day}, em pausa por {by}: {reason}",
        "The goal is from {from_day:day} on, paused by {by}: {reason}",
    ),
    "goal.none": (
        "Nenhuma meta definida: contam os dias que foram pedidos.",
        "No goal is set: the days that were asked for count.",
    ),
    "an_administrator": ("um administrador", "an administrator"),
    "action.set_goal": ("Dizer desde quando", "Set a goal"),
    "action.resume_goal": ("Retomar o preenchimento", "Resume filling"),
    "action.resume_schedule": ("Retomar a agenda", "Resume the schedule"),
    "action.update_now": ("Atualizar agora", "Update now"),
    "action.first_load": ("Carregar os últimos 7 dias", "Load the last 7 days"),
    "action.retry_failed": ("Repetir o que falhou", "Repeat what failed"),
    "action.show_rejected": ("Ver os rejeitados", "Show what was rejected"),
    "action.show_coverage": ("Ver os dias", "Show the days"),
    "action.show_history": ("Ver o histórico", "Show the history"),
    "action.show_deliveries": ("Ver as entregas", "Show the deliveries"),
    "action.show_alerts": ("Ver os alertas", "Show the alerts"),
}
