// Four GraphQL clients at the service at URL with TOKEN, each as its users set it up: a mutation, a query and a subscription of
// every one of them must succeed. Prints a line per client and ends with 1 unless all did.
import { createServer } from 'node:http';

import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { Client, fetchExchange } from '@urql/core';
import { createClient as createSSEClient } from 'graphql-sse';
import { createClient as createWSClient } from 'graphql-ws';

const { URL: url, TOKEN: token } = process.env;
if (!url || !token) throw new Error('set URL and TOKEN');

const PATIENCE = 20_000;
const headers = { Authorization: `Bearer ${token}` };

const APPLICATION_CREATE = `mutation ($name: String!) {
  applicationCreate(input: { name: $name }) { application { id name } errors { code message } }
}`;
const ENDPOINT_CREATE = `mutation ($appId: ID!, $url: URL!) {
  endpointCreate(appId: $appId, input: { url: $url }) { endpoint { id } errors { code message } }
}`;
const MESSAGE_CREATE = `mutation ($appId: ID!, $payload: JSON!) {
  messageCreate(appId: $appId, input: { eventType: "invoice.paid", payload: $payload }) { message { id } errors { code message } }
}`;
const APPLICATION = `query ($id: ID!) { application(id: $id) { id name } }`;
const MESSAGE_STATUS = `subscription ($appId: ID!, $messageId: ID!) {
  messageStatus(appId: $appId, messageId: $messageId) { done destinations { endpointId status } }
}`;

/** The results of an operation, from an iterator of what the client gives. */
async function all(results) {
  const found = [];
  for await (const result of results) found.push(dataOf(result));
  return found;
}

function dataOf({ data, error, errors }) {
  if (error) throw error;
  if (errors?.length) throw new Error(JSON.stringify(errors));
  return data;
}

function overWebSocket() {
  const client = createWSClient({ url: url.replace(/^http/, 'ws'), connectionParams: headers, retryAttempts: 0 });
  const run = (query, variables) => all(client.iterate({ query, variables }));
  return { query: run, mutate: run, subscribe: run, close: () => client.dispose() };
}

function overEvents() {
  const client = createSSEClient({ url, headers, retryAttempts: 0 });
  const run = (query, variables) => all(client.iterate({ query, variables }));
  return { query: run, mutate: run, subscribe: run, close: () => client.dispose() };
}

function urql() {
  const client = new Client({ url, exchanges: [fetchExchange], fetchSubscriptions: true, preferGetMethod: false, fetchOptions: { headers } });
  return {
    query: async (query, variables) => [dataOf(await client.query(query, variables).toPromise())],
    mutate: async (query, variables) => [dataOf(await client.mutation(query, variables).toPromise())],
    subscribe: (query, variables) =>
      new Promise((resolve, reject) => {
        const found = [];
        client.subscription(query, variables).subscribe((result) => {
          try {
            if (result.data || result.error) found.push(dataOf(result));
            // urql has no callback for the end of a subscription; its last result is the one without more to come.
            if (found.at(-1)?.messageStatus.done) resolve(found);
          } catch (error) {
            reject(error);
          }
        });
      }),
    close: () => {},
  };
}

function apollo() {
  const client = new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache: new InMemoryCache() });
  return {
    query: async (query, variables) => [dataOf(await client.query({ query: gql(query), variables }))],
    mutate: async (query, variables) => [dataOf(await client.mutate({ mutation: gql(query), variables }))],
    subscribe: (query, variables) =>
      new Promise((resolve, reject) => {
        const found = [];
        client.subscribe({ query: gql(query), variables }).subscribe({
          next: (result) => {
            try {
              found.push(dataOf(result));
            } catch (error) {
              reject(error);
            }
          },
          error: reject,
          complete: () => resolve(found),
        });
      }),
    close: () => client.stop(),
  };
}

/** The main job through one client: a message is created, and its delivery watched to the end. */
async function mainJob(client, name, receiver) {
  const entity = ([data], key) => {
    const payload = Object.values(data)[0];
    if (payload.errors.length) throw new Error(JSON.stringify(payload.errors));
    return payload[key];
  };
  const application = entity(await client.mutate(APPLICATION_CREATE, { name }), 'application');
  const endpoint = entity(await client.mutate(ENDPOINT_CREATE, { appId: application.id, url: receiver }), 'endpoint');
  const message = entity(
    await client.mutate(MESSAGE_CREATE, { appId: application.id, payload: { number: 1, client: name } }),
    'message',
  );
  const events = await client.subscribe(MESSAGE_STATUS, { appId: application.id, messageId: message.id });
  const last = events.at(-1)?.messageStatus;
  const [destination, ...others] = last?.destinations ?? [];
  if (!last?.done || others.length || destination?.endpointId !== endpoint.id || destination.status !== 'SUCCESS') {
    throw new Error(`the subscription ended with ${JSON.stringify(events)}`);
  }
  const [{ application: found }] = await client.query(APPLICATION, { id: application.id });
  if (found.id !== application.id || found.name !== name) throw new Error(`the query found ${JSON.stringify(found)}`);
  return events.length;
}

const withinPatience = (promise) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing for ${PATIENCE / 1000} s`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

const received = [];
const receiver = createServer((request, response) => {
  received.push(request.headers['webhook-id']);
  request.resume().on('end', () => response.writeHead(204).end());
});
await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
const receiverUrl = `http://127.0.0.1:${receiver.address().port}/hook`;

const clients = {
  'graphql-ws': overWebSocket,
  'graphql-sse': overEvents,
  'urql (events)': urql,
  'Apollo (multipart)': apollo,
};
let failed = 0;
for (const [name, make] of Object.entries(clients)) {
  const before = received.length;
  const client = make();
  try {
    const events = await withinPatience(mainJob(client, name, receiverUrl));
    if (received.length !== before + 1) throw new Error(`the receiver got ${received.length - before} webhooks`);
    console.log(`${name}: a mutation, a query and a subscription succeeded (events: ${events})`);
  } catch (error) {
    failed += 1;
    console.log(`${name}: FAILED: ${error.stack ?? error}`);
  } finally {
    client.close();
  }
}
console.log(`${Object.keys(clients).length - failed} of ${Object.keys(clients).length} clients passed`);
process.exit(failed ? 1 : 0);
