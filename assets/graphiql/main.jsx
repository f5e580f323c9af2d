// The GraphiQL page: reads /graphiql/config.json, lays out the first steps as tabs and talks to the server it came from.
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { useEditorContext, useExecutionContext, useSchemaStore } from '@graphiql/react';
import { GraphiQL } from 'graphiql';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';

import '@graphiql/plugin-explorer/style.css';
import 'graphiql/style.css';
import './page.css';
import { fetcherOf, NO_TOKEN } from './fetcher.js';
import { stepsPlugin } from './steps.jsx';
import { prepare, storage } from './storage.js';

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
      <TabLeaves />
      <TabInSight />
      <RunAnywhere />
      <SchemaLater />
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

/** The key Tab leads on from an editor; GraphiQL would indent the text, and nobody without a mouse would get any further. */
function TabLeaves() {
  const { queryEditor, variableEditor, headerEditor, responseEditor } = useEditorContext({ nonNull: true });
  useEffect(() => {
    const keys = { Tab: false, 'Shift-Tab': false };
    const editors = [queryEditor, variableEditor, headerEditor, responseEditor].filter(Boolean);
    // Behind the others: while fields are suggested, Tab takes one.
    editors.forEach((editor) => editor.addKeyMap(keys, true));
    return () => editors.forEach((editor) => editor.removeKeyMap(keys));
  }, [queryEditor, variableEditor, headerEditor, responseEditor]);
  return null;
}

/** A tab that is opened is in sight, also where there is no room for all of them. */
function TabInSight() {
  const { tabs, activeTabIndex } = useEditorContext({ nonNull: true });
  useEffect(() => {
    document.querySelector('.graphiql-tab-active')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [tabs.length, activeTabIndex]);
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

/** A schema that could not be had when the page opened is asked for again with whatever is run: by then there may be a token, or a server. */
function SchemaLater() {
  const { isFetching } = useExecutionContext({ nonNull: true });
  const { schema, introspect } = useSchemaStore();
  useEffect(() => {
    if (isFetching && !schema) {
      introspect();
    }
  }, [isFetching, schema, introspect]);
  return null;
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
