// The GraphiQL page: reads /graphiql/config.json, lays out the first steps as tabs and talks to the server it came from.
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';

import '@graphiql/plugin-explorer/style.css';
import 'graphiql/style.css';
import './page.css';
import { stepsPlugin } from './steps.jsx';
import { layOut, storage } from './storage.js';

const NO_TOKEN = { Authorization: 'Bearer ' };

function webSocketUrl(path) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

function Page({ config }) {
  return (
    <GraphiQL
      fetcher={fetcherOf(config.url)}
      storage={storage}
      plugins={pluginsOf(config.tabs)}
      defaultHeaders={JSON.stringify(config.headers ?? NO_TOKEN, null, 2)}
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
    </GraphiQL>
  );
}

// Without a client of its own, the fetcher opens a WebSocket per subscription and sends the headers editor's content as the
// connection's payload, so that the token in the editor is the one that counts.
const fetcherOf = (url) => createGraphiQLFetcher({ url, subscriptionUrl: webSocketUrl(url) });

const pluginsOf = (tabs) => [stepsPlugin(tabs), explorerPlugin()];

async function start() {
  const place = document.getElementById('page');
  try {
    const response = await fetch('/graphiql/config.json');
    if (!response.ok) {
      throw new Error(`HTTP ${response.status}`);
    }
    const config = await response.json();
    layOut(config.tabs);
    createRoot(place).render(<Page config={config} />);
  } catch (error) {
    place.textContent = `The page's configuration, /graphiql/config.json, cannot be read: ${error.message}`;
  }
}

start();
