// The GraphiQL page: reads /graphiql/config.json, lays out the first steps as tabs and talks to the server it came from.
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { useEditorContext, useExecutionContext } from '@graphiql/react';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { Kind, parse } from 'graphql';
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
      <RunAnywhere />
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

/** Ctrl+Enter also runs the operation where no editor has the focus, as after a click on a tab. */
function RunAnywhere() {
  const { run } = useExecutionContext({ nonNull: true });
  useEffect(() => {
    const pressed = (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.target.closest?.('.CodeMirror, [role="dialog"]')) {
        event.preventDefault();
        run();
      }
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, [run]);
  return null;
}

/**
 * GraphiQL learns a moment after a document was opened which operation it has, and until then names the one of the tab before. A
 * document with one operation leaves no doubt, neither of its name nor whether it is a subscription.
 */
function ofItsDocument(fetcher) {
  return (params, options) => {
    let documentAST;
    try {
      documentAST = parse(params.query);
    } catch {
      return fetcher(params, options); // the server says what is wrong with it
    }
    const operations = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    return operations.length === 1
      ? fetcher({ ...params, operationName: operations[0].name?.value }, { ...options, documentAST })
      : fetcher(params, options);
  };
}

/**
 * Without a client of its own, the fetcher opens a WebSocket per subscription and sends the content of the headers editor as
 * the connection's payload, so that the token in the editor is the one that counts.
 */
function fetcherOf({ url, headers }) {
  // The schema is first asked for before there is a headers editor.
  const defaults = { ...headers };
  const askSchema = createGraphiQLFetcher({ url, enableIncrementalDelivery: false });
  const fetcher = createGraphiQLFetcher({
    url,
    subscriptionUrl: webSocketUrl(url),
    schemaFetcher: (params, options) => askSchema(params, { headers: defaults, ...options }),
  });
  return ofItsDocument(fetcher);
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
