// The GraphiQL page: reads /graphiql/config.json, lays out the first steps as tabs and talks to the server it came from.
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { useEditorContext } from '@graphiql/react';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';

import '@graphiql/plugin-explorer/style.css';
import 'graphiql/style.css';
import './page.css';
import { stepsPlugin } from './steps.jsx';
import { prepare, storage } from './storage.js';

const NO_TOKEN = { Authorization: 'Bearer ' };

function webSocketUrl(path) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

function Page({ config, headers, fetcher, plugins }) {
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      plugins={plugins}
      defaultHeaders={headers}
      defaultEditorToolsVisibility={config.headers ? 'variables' : 'headers'}
      defaultQuery={'# Ctrl+Space suggests fields, Ctrl+Enter runs the operation.\n'}
      shouldPersistHeaders={false}
      inputValueDeprecation
      schemaDescription
    >
      <GraphiQL.Logo>
        <a className="graphiql-logo-link" href="/graphiql">
          Graphook
        </a>
      </GraphiQL.Logo>
      <LineWrapping />
    </GraphiQL>
  );
}

/** Long lines of a document, such as comments, are wrapped; GraphiQL has no property for that. */
function LineWrapping() {
  const { queryEditor } = useEditorContext({ nonNull: true });
  useEffect(() => {
    queryEditor?.setOption('lineWrapping', true);
  }, [queryEditor]);
  return null;
}

/**
 * Without a client of its own, the fetcher opens a WebSocket per subscription and sends the content of the headers editor as
 * the connection's payload, so that the token in the editor is the one that counts.
 */
function fetcherOf({ url, headers }) {
  // The schema is first asked for before there is a headers editor.
  const defaults = { ...headers };
  const askSchema = createGraphiQLFetcher({ url, enableIncrementalDelivery: false });
  return createGraphiQLFetcher({
    url,
    subscriptionUrl: webSocketUrl(url),
    schemaFetcher: (params, options) => askSchema(params, { headers: defaults, ...options }),
  });
}

async function start() {
  const place = document.getElementById('page');
  try {
    const response = await fetch('/graphiql/config.json');
    if (!response.ok) {
      throw new Error(`HTTP ${response.status}`);
    }
    const config = await response.json();
    const headers = JSON.stringify(config.headers ?? NO_TOKEN, null, 2);
    prepare(config.tabs, headers);
    const plugins = [stepsPlugin(config.tabs), explorerPlugin()];
    createRoot(place).render(<Page config={config} headers={headers} fetcher={fetcherOf(config)} plugins={plugins} />);
  } catch (error) {
    place.textContent = `The page's configuration, /graphiql/config.json, cannot be read: ${error.message}`;
  }
}

start();
