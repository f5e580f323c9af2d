// How the page talks to the server: operations by HTTP, each subscription over a WebSocket of its own, and failures in sentences.
import { Kind, OperationTypeNode, parse } from 'graphql';
import { createClient } from 'graphql-ws';

export const NO_TOKEN = { Authorization: 'Bearer ' };

const FORBIDDEN = 4403;
const NOT_VALID = 'This token is missing, unknown, expired or revoked. Put one that is valid under "Headers".';
const LOST = 'The connection to the server was lost. Is it running? Run this again';
const AWAY = 'The server cannot be reached. Is it running?';

/** What the response pane shows for a failure: of an Error it would show the stack. */
const failure = (message) => ({ message });

async function execute(url, params, headers) {
  const options = { method: 'POST', headers: sendable({ 'Content-Type': 'application/json', ...headers }), body: JSON.stringify(params) };
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw failure(AWAY);
  }
  const type = response.headers.get('Content-Type') ?? 'nothing';
  if (!type.includes('json')) {
    throw failure(`HTTP ${response.status}, with ${type} instead of JSON: probably of a proxy in front of the server, which cannot reach it.`);
  }
  return response.json();
}

function sendable(headers) {
  try {
    return new Headers(headers);
  } catch (error) {
    throw failure(`What is under "Headers" cannot be sent: ${error.message}`);
  }
}

/** The events of a subscription. When its connection is lost it is not begun anew, because what happened meanwhile would be missing. */
function subscribe(url, params, headers) {
  const client = createClient({ url: webSocketUrl(url), connectionParams: headers, retryAttempts: 0 });
  const events = client.iterate(params);
  let cursor;
  const next = async () => {
    try {
      const event = await events.next();
      cursor = Object.values(event.value?.data ?? {})[0]?.cursor ?? cursor;
      return event;
    } catch (problem) {
      // Either the errors of the operation, or what became of the socket.
      throw Array.isArray(problem) ? problem : failure(becameOf(problem, cursor));
    }
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: () => events.return() }) };
}

function becameOf({ code, reason }, cursor) {
  if (code === undefined) {
    return AWAY;
  }
  return code === FORBIDDEN ? NOT_VALID : reason || LOST + (cursor ? `, with "after": "${cursor}" to miss nothing.` : '.');
}

function webSocketUrl(path) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/**
 * The operation to run, if that is clear. GraphiQL learns a moment after a document was opened which operation it has, and until
 * then names the one of the tab before: a document with one operation leaves no doubt.
 */
function operationOf({ query, operationName }) {
  let operations;
  try {
    operations = parse(query).definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  } catch {
    return undefined; // the server says what is wrong with it
  }
  return operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
}

/** GraphiQL's fetcher for the configuration of the page. */
export function fetcherOf({ url, headers }) {
  // The schema is first asked for before there is a headers editor.
  let last = headers ?? NO_TOKEN;

  return async (params, options) => {
    // Each tab has headers of its own. Where the token is not filled in, the one that was given last serves.
    const given = options?.headers ?? last;
    const used = given.Authorization === NO_TOKEN.Authorization ? { ...given, ...last } : given;
    last = used.Authorization ? { Authorization: used.Authorization } : last;
    const operation = operationOf(params);
    const named = operation ? { ...params, operationName: operation.name?.value } : params;
    return operation?.operation === OperationTypeNode.SUBSCRIPTION ? subscribe(url, named, used) : execute(url, named, used);
  };
}
