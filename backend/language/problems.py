"""The sentences of problem answers: by the code of the problem, or of the value at fault.

A code is the end of an answer's `type`, and stays as it is: clients know problems by it.
"""

_TITLES = {
    400: ("Pedido que não pode ser lido", "Bad Request"),
    401: ("Sem autorização", "Unauthorized"),
    403: ("Proibido", "Forbidden"),
    404: ("Não encontrado", "Not Found"),
    405: ("Método não aceito", "Method Not Allowed"),
    408: ("Pedido lento demais", "Request Timeout"),
    409: ("Em conflito com o estado atual", "Conflict"),
    413: ("Corpo grande demais", "Content Too Large"),
    415: ("Tipo de corpo não aceito", "Unsupported Media Type"),
    416: ("Parte do arquivo que não existe", "Range Not Satisfiable"),
    422: ("Valor que não serve", "Unprocessable Content"),
    429: ("Pedidos demais", "Too Many Requests"),
    431: ("Cabeçalho grande demais", "Request Header Fields Too Large"),
    500: ("Erro interno", "Internal Server Error"),
    501: ("Não disponível neste servidor", "Not Implemented"),
    503: ("Indisponível agora", "Service Unavailable"),
    507: ("Sem espaço em disco", "Insufficient Storage"),
}
_PROBLEMS = {
    # --- of any address ----------------------------------------------------------------------------------------
    "unreadable_body": (
        "O corpo do pedido não pôde ser lido como JSON.",
        "The body of the request could not be read as JSON.",
    ),
    "unreadable_request": ("O pedido não pôde ser lido como HTTP.", "The request could not be read as HTTP."),
    "unknown_host": (
        "O endereço (Host) pedido não é deste serviço.",
        "The address (Host) that is asked for is not of this service.",
    ),
    "unauthorized": (
        "Informe usuário e senha (Basic) ou um token válido (Bearer).",
        "Give a user and a password (Basic) or a valid token (Bearer).",
    ),
    "forbidden": (
        "Só um administrador pode fazer isto (falta o escopo {scope}).",
        "Only an administrator can do this (the scope {scope} is missing).",
    ),
    "insufficient_scope": ("Falta o escopo {scope}.", "The scope {scope} is missing."),
    "invalid_client": (
        "O cliente não existe, o segredo não é o dele, ou ele não pode pedir deste endereço.",
        "The client does not exist, the secret is not its own, or it may not ask from this address.",
    ),
    "invalid_scope": (
        "Algum escopo pedido não existe, ou este acesso não o tem.",
        "Some scope that is asked for does not exist, or is not of this account.",
    ),
    "invalid_request": (
        "Identifique o cliente uma vez só: no cabeçalho (Basic), ou por client_id e client_secret no formulário.",
        "Identify the client only once: by the header (Basic), or by client_id and client_secret in the form.",
    ),
    "unsupported_grant_type": (
        "grant_type deve ser password ou client_credentials.",
        "grant_type has to be password or client_credentials.",
    ),
    "cross_site": (
        "O pedido vem da página de outro site, que não está entre as permitidas (CORS_ORIGINS).",
        "The request comes from the page of another site, which is not among those allowed (CORS_ORIGINS).",
    ),
    "unknown_address": ("Não existe nada neste endereço.", "There is nothing at this address."),
    "unknown_method": ("Este endereço não aceita este método.", "This address does not take this method."),
    "body_too_large": (
        "O corpo do pedido passa do limite de {limit}.",
        "The body of the request is over the limit of {limit}.",
    ),
    "body_too_slow": (
        "O corpo do pedido chega devagar demais. Tente de novo por uma conexão melhor.",
        "The body of the request arrives too slowly. Try again over a better connection.",
    ),
    "too_many_uploads": (
        "Já há um envio de arquivo em andamento. Espere o que diz Retry-After e tente de novo.",
        "A file is being sent already. Wait for as long as Retry-After says and try again.",
    ),
    "unknown_media_type": (
        "O corpo do pedido deve ser application/json.",
        "The body of the request has to be application/json.",
    ),
    "unknown_range": ("O arquivo tem {bytes} bytes.", "The file has {bytes} bytes."),
    "invalid": ("{faults}", "{faults}"),
    "head_too_large": (
        "O cabeçalho do pedido, com o endereço, passa do limite.",
        "The head of the request, with its address, is over the limit.",
    ),
    "too_many_requests": (
        "Pedidos demais. Espere o que diz Retry-After e tente de novo.",
        "Too many requests. Wait for as long as Retry-After says and try again.",
    ),
    "too_many_logins": (
        "Há acessos demais sendo verificados. Tente de novo em alguns segundos.",
        "Too many logins are being checked. Try again in some seconds.",
    ),
    "internal": (
        "Erro interno. O registro do servidor (log) traz a causa.",
        "Internal error. The server's log has the cause.",
    ),
    "database_away": (
        "O banco de dados está indisponível. Consulte o histórico antes de repetir o pedido.",
        "The database is not available. Look at the history before you repeat the request.",
    ),
    # --- of executions -----------------------------------------------------------------------------------------
    "unknown_execution": ("Não existe a execução {id}.", "There is no execution {id}."),
    "execution_ended": ("A execução {id} já terminou.", "Execution {id} has ended already."),
    "nothing_to_retry": (
        "Nada a repetir da execução {id}: ela não tem fatias com erro, ainda não terminou, ou já está sendo repetida.",
        "There is nothing to repeat of execution {id}: it has no failed slices, has not ended, or is being repeated.",
    ),
    "nothing_failed": (
        "Nenhuma execução que falhou pode ser repetida agora.",
        "No failed execution can be repeated now.",
    ),
    "too_many_executions": (
        "Já há {most} execuções em andamento. Espere que alguma termine ou cancele uma.",
        "There are {most} executions under way already. Wait until one ends or cancel one.",
    ),
    "idempotency_key_reused": (
        "Esta Idempotency-Key já foi usada com outro pedido. Use uma chave nova.",
        "This Idempotency-Key has been used with another request. Use a new one.",
    ),
    "request_in_progress": (
        "O mesmo pedido está sendo atendido agora. Repita em alguns segundos.",
        "The same request is being answered now. Repeat it in some seconds.",
    ),
    "publish_failed": (
        "O RabbitMQ não confirmou o pedido: a execução {id} foi encerrada com erro. Tente de novo.",
        "RabbitMQ did not confirm the request: execution {id} was ended as an error. Try again.",
    ),
    # --- of deliveries -----------------------------------------------------------------------------------------
    "unknown_job": ("Não existe o trabalho {id}.", "There is no job {id}."),
    "job_ended": ("O trabalho {id} já terminou.", "Job {id} has ended already."),
    "job_not_held": ("O trabalho {id} não espera confirmação.", "Job {id} does not wait to be confirmed."),
    "unknown_destination": (
        "Não existe o destino {name}. Os mais próximos: {near}.",
        "There is no destination {name}. The nearest: {near}.",
    ),
    "unknown_list": ("Não existe a lista {name}: use {near}.", "There is no list {name}: use {near}."),
    "unknown_entity": (
        "Não existe a entidade {name}. As mais próximas: {near}.",
        "There is no entity {name}. The nearest: {near}.",
    ),
    "view_unreadable": (
        "A visão {view} não pode ser lida ({cause}). Confira a visão, os tipos em entities/ e as permissões.",
        "The view {view} cannot be read ({cause}). Check the view, the types in entities/ and the permissions.",
    ),
    "delivery_running": (
        "O destino {name} já tem a entrega {id} em andamento. Espere que ela termine ou a cancele.",
        "Destination {name} has delivery {id} under way already. Wait until it ends or cancel it.",
    ),
    "destination_paused": (
        "O destino {name} está em pausa. Retome-o antes.",
        "Destination {name} is paused. Resume it before.",
    ),
    "destination_stopped": (
        "O destino {name} não quer mais receber. Retome-o quando ele voltar a aceitar.",
        "Destination {name} wants no more. Resume it when it accepts again.",
    ),
    "destination_not_paused": (
        "O destino {name} não está em pausa, nem parado.",
        "Destination {name} is neither paused nor stopped.",
    ),
    "destination_invalid": (
        "O arquivo do destino {name} tem erros. {fault}",
        "The file of destination {name} has faults. {fault}",
    ),
    "destination_missing": (
        "O arquivo do destino {name} não existe mais.",
        "The file of destination {name} is gone.",
    ),
    "unknown_source": (
        "Não existe a fonte {name}. As mais próximas: {near}.",
        "There is no source {name}. The nearest: {near}.",
    ),
    "reading_running": (
        "A fonte {name} já está sendo lida pelo trabalho {id}. Espere que ele termine ou o cancele.",
        "Source {name} is being read by job {id} already. Wait until it ends or cancel it.",
    ),
    "source_paused": (
        "A fonte {name} está em pausa. Retome-a antes.",
        "Source {name} is paused. Resume it before.",
    ),
    "source_not_paused": ("A fonte {name} não está em pausa.", "Source {name} is not paused."),
    "source_invalid": (
        "O arquivo da fonte {name} tem erros. {fault}",
        "The file of source {name} has faults. {fault}",
    ),
    "source_missing": ("O arquivo da fonte {name} não existe mais.", "The file of source {name} is gone."),
    "source_without_cursor": (
        "Nenhuma entidade da fonte {name} tem cursor: peça a leitura completa (modo full).",
        "No entity of source {name} has a cursor: ask for a whole reading (modo full).",
    ),
    "stream_unreadable": (
        "Os registros do fluxo {name} não podem ser lidos: {fault}.",
        "The records of stream {name} cannot be read: {fault}.",
    ),
    "nothing_rejected": (
        "Nenhum registro rejeitado do destino {name} a repetir.",
        "Destination {name} has no rejected record to repeat.",
    ),
    # --- of what is taken in ------------------------------------------------------------------------------------
    "unknown_layout": (
        "Não existe a entidade ou o layout {name}. Os mais próximos: {near}.",
        "There is no entity or layout {name}. The nearest: {near}.",
    ),
    "unknown_import": ("Não existe a importação {id}.", "There is no import {id}."),
    "unknown_record": ("Não existe o registro {key} de {entity}.", "There is no record {key} of {entity}."),
    "nothing_accepted": (
        "Nenhum registro foi aceito: rejected diz o porquê de cada um. Só isto foi gravado, na importação {id}.",
        "No record was accepted: rejected says why, for each. Only this was stored, as import {id}.",
    ),
    "file_known": (
        "Este arquivo já foi importado, na importação {id}. Com repetir=true ele é importado de novo.",
        "This file has been imported already, as import {id}. With repetir=true it is imported again.",
    ),
    "file_empty": ("O arquivo está vazio.", "The file is empty."),
    "upload_cut": (
        "O envio do arquivo não chegou ao fim. Envie-o de novo.",
        "The upload did not come to its end. Send the file again.",
    ),
    "import_not_held": (
        "A importação {id} não espera confirmação.",
        "Import {id} does not wait to be confirmed.",
    ),
    "import_of_source": (
        "A importação {id} é da leitura de uma fonte: decida no trabalho {job}.",
        "Import {id} belongs to the reading of a source: decide on job {job}.",
    ),
    "import_ended": ("A importação {id} já terminou.", "Import {id} has ended already."),
    "record_referred": (
        "Registros que se referem a {key} de {entity}: {count}. Remova-os antes, ou mude a que se referem.",
        "Records that refer to {key} of {entity}: {count}. Remove them before, or change what they refer to.",
    ),
    "record_coming": (
        "A importação {import_id} ainda vai gravar {key} de {entity}. Remova-o depois que ela terminar.",
        "Import {import_id} is yet to store {key} of {entity}. Remove it when that has ended.",
    ),
    # --- of the verdict, schedules, goals, alerts, tokens --------------------------------------------------------
    "unknown_trouble": (
        "Não há problema com este identificador; GET /sync/verdict diz quais há.",
        "There is no trouble of this id; GET /sync/verdict says which there are.",
    ),
    "not_to_be_acknowledged": (
        "Só o que falhou e o que foi rejeitado podem ser dados por vistos.",
        "Only what failed and what was rejected can be acknowledged.",
    ),
    "not_acknowledged": (
        "Nada foi dado por visto com este identificador.",
        "Nothing was acknowledged under this id.",
    ),
    "unknown_schedule": (
        "Não existe agenda com este nome. As que existem: {names}.",
        "There is no schedule of this name. There are: {names}.",
    ),
    "schedule_paused": ("A agenda {name} já está em pausa.", "Schedule {name} is paused already."),
    "schedule_not_paused": ("A agenda {name} não está em pausa.", "Schedule {name} is not paused."),
    "unknown_goal": (
        "Não existe recurso com este nome. Os que têm metas: {names}.",
        "There is no resource of this name. Those with goals: {names}.",
    ),
    "no_goal": ("Não há meta de {resource}.", "There is no goal of {resource}."),
    "goal_paused": ("A meta de {resource} já está em pausa.", "The goal of {resource} is paused already."),
    "goal_not_paused": ("A meta de {resource} não está em pausa.", "The goal of {resource} is not paused."),
    "no_channel": (
        "Nenhum canal está configurado: defina ALERT_EMAIL_TO, ALERT_EMAIL_FROM e SMTP_HOST, ou ALERT_WEBHOOK_URL.",
        "No channel is configured: set ALERT_EMAIL_TO, ALERT_EMAIL_FROM and SMTP_HOST, or ALERT_WEBHOOK_URL.",
    ),
    "no_authentication": (
        "Neste servidor não há autenticação: nenhum token é preciso.",
        "This server has no authentication: no token is needed.",
    ),
    # --- of files ----------------------------------------------------------------------------------------------
    "no_parquet": (
        (
            "Este servidor não grava Parquet: instale requirements-exports.txt, ou use a imagem com essa parte. CSV e"
            " NDJSON têm os mesmos dados."
        ),
        (
            "This server does not write Parquet: install requirements-exports.txt, or use the image with that part. CSV"
            " and NDJSON have the same data."
        ),
    ),
    "too_many_files": (
        "Há arquivos demais sendo gerados. Tente de novo em alguns segundos.",
        "Too many files are being made. Try again in some seconds.",
    ),
    "storage_full": (
        "Não há lugar em disco para o arquivo (EXPORT_DIR). Use mais filtros, ou avise quem administra o servidor.",
        "There is no room on disk for the file (EXPORT_DIR). Use more filters, or inform the server's administrator.",
    ),
}
_FAULTS = {
    # --- of pydantic, by its own words ---------------------------------------------------------------------------
    "missing": ("é obrigatório", "is required"),
    "extra_forbidden": ("não é um campo conhecido", "is not a known field"),
    "literal_error": ("deve ser {expected}", "has to be {expected}"),
    "string_type": ("deve ser um texto", "has to be a text"),
    "int_type": ("deve ser um número inteiro", "has to be a whole number"),
    "int_parsing": ("deve ser um número inteiro", "has to be a whole number"),
    "int_parsing_size": ("é um número grande demais", "is too large a number"),
    "int_from_float": ("deve ser um número inteiro", "has to be a whole number"),
    "greater_than_equal": ("deve ser no mínimo {ge}", "has to be at least {ge}"),
    "less_than_equal": ("deve ser no máximo {le}", "has to be at most {le}"),
    "string_pattern_mismatch": ("tem um formato que não é aceito", "has a form that is not accepted"),
    "string_too_long": ("é longo demais", "is too long"),
    "json_invalid": ("não é JSON válido", "is not valid JSON"),
    "model_attributes_type": (
        "deve ser um objeto JSON, enviado como application/json",
        "has to be a JSON object, sent as application/json",
    ),
    "dict_type": ("deve ser um objeto JSON", "has to be a JSON object"),
    "list_type": ("deve ser uma lista", "has to be a list"),
    "too_short": ("não pode ser vazio", "must not be empty"),
    "too_long": ("tem elementos demais", "has too many elements"),
    "repeated": ("foi informado mais de uma vez", "was given more than once"),
    "not_accepted": ("não é um valor aceito", "is not an accepted value"),
    # --- of our own checks -------------------------------------------------------------------------------------
    "dates_missing": (
        "data_ini e data_fim são obrigatórios para modo backfill",
        "data_ini and data_fim are required for the mode backfill",
    ),
    "date_form": (
        "{name} inválida: use YYYY-MM-DDTHH:MM:SS, no horário de Brasília e sem fuso",
        "{name} is invalid: use YYYY-MM-DDTHH:MM:SS, Brasília time, without an offset",
    ),
    "date_unknown": (
        "{name} inexistente no calendário: use YYYY-MM-DDTHH:MM:SS",
        "{name} is in no calendar: use YYYY-MM-DDTHH:MM:SS",
    ),
    "window_reversed": (
        "data_ini deve ser anterior ou igual a data_fim",
        "data_ini has to be before data_fim or equal to it",
    ),
    "window_too_early": (
        "data_ini é anterior ao PNCP: use uma data a partir de 2021-01-01T00:00:00",
        "data_ini is before the PNCP: use a date from 2021-01-01T00:00:00 on",
    ),
    "window_begins_in_future": (
        "data_ini está no futuro (horário de Brasília)",
        "data_ini is in the future (Brasília time)",
    ),
    "window_ends_in_future": (
        "data_fim está mais de um dia no futuro (horário de Brasília)",
        "data_fim is more than a day in the future (Brasília time)",
    ),
    "window_too_long": (
        "o intervalo entre data_ini e data_fim não pode passar de 365 dias",
        "data_ini and data_fim must not be more than 365 days apart",
    ),
    "resource_unknown": ("não é um recurso: use {names}", "is not a resource: use one of {names}"),
    "domains_have_no_days": (
        "as tabelas de domínio não têm dias: são lidas por inteiro, no modo update",
        "the domain tables have no days: they are read whole, in the mode update",
    ),
    "criterio_unknown": (
        "{resource} não têm listagem por {asked}: use {known}",
        "{resource} have no listing by {asked}: use {known}",
    ),
    "nothing_to_cancel": (
        "Diga o que cancelar: ids, resource, mode, trigger ou, para tudo, {example}",
        "Say what to cancel: ids, resource, mode, trigger or, for everything, {example}",
    ),
    "day_no_text": ("{name} deve ser um texto: use YYYY-MM-DD", "{name} has to be a text: use YYYY-MM-DD"),
    "day_form": ("{name} inválida: use YYYY-MM-DD", "{name} is invalid: use YYYY-MM-DD"),
    "day_unknown": (
        "{name} inexistente no calendário: use YYYY-MM-DD",
        "{name} is in no calendar: use YYYY-MM-DD",
    ),
    "days_reversed": ("from deve ser anterior ou igual a to", "from has to be before to or equal to it"),
    "days_too_many": (
        "o intervalo entre from e to não pode passar de {most} dias",
        "from and to must not be more than {most} days apart",
    ),
    "day_too_early": (
        "from é anterior ao PNCP: use um dia a partir de {first}",
        "from is before the PNCP: use a day from {first} on",
    ),
    "goal_too_early": (
        "from_day é anterior ao PNCP: use um dia a partir de {first}",
        "from_day is before the PNCP: use a day from {first} on",
    ),
    "goal_in_future": (
        "from_day está no futuro (horário de Brasília)",
        "from_day is in the future (Brasília time)",
    ),
    "records_form": (
        "deve ser um objeto JSON, ou uma lista de objetos",
        "has to be a JSON object, or a list of objects",
    ),
    "records_too_many": ("tem mais de {most} registros", "has more than {most} records"),
    "key_differs": (
        "a chave do corpo não é a do endereço: {key}",
        "the key of the body is not that of the address: {key}",
    ),
    "key_form": (
        "a chave deve ter {parts} partes, separadas por barras: {names}",
        "the key has to have {parts} parts with slashes in between: {names}",
    ),
    "file_kind": (
        "o nome do arquivo deve terminar em {kinds}",
        "the name of the file has to end in {kinds}",
    ),
    "reason_missing": (
        "reason deve dizer, em texto, o porquê da pausa",
        "reason has to say, as a text, why there is a pause",
    ),
    "cron_unknown": (
        (
            "cron deve ter cinco campos (minuto hora dia mês dia-da-semana, horário de Brasília) e ocorrer alguma vez:"
            " por exemplo */15 * * * * ou 0 1 * * *"
        ),
        (
            "cron has to have five fields (minute hour day month weekday, Brasília time) and to come up at some time:"
            " */15 * * * * or 0 1 * * *, for instance"
        ),
    ),
}
SENTENCES = {
    **{f"title.{status}": title for status, title in _TITLES.items()},
    **{f"problem.{code}": said for code, said in _PROBLEMS.items()},
    **{f"fault.{code}": said for code, said in _FAULTS.items()},
    "fault.of_body": ("o corpo do pedido", "the body of the request"),
    "fault.or": (" ou ", " or "),
}
