// What the page remembers in the browser: GraphiQL's own entries under a prefix of ours, so that another GraphiQL that was
// served from the same address before (localhost:8000 is popular) does not show up in this one.
const PREFIX = 'graphook:';
const TABS = 'graphiql:tabState';
const HISTORY = ['graphiql:queries', 'graphiql:favorites'];

let defaultHeaders = '';

/** GraphiQL's history keeps headers with each query. They hold a token, so they are not stored; the page's own ones stand in for them. */
function withHeaders(history, headers) {
  const content = JSON.parse(history);
  return JSON.stringify(content, (key, value) => (key === 'queries' || key === 'favorites' ? value.map((item) => ({ ...item, headers })) : value));
}

const names = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));

export const storage = {
  getItem(name) {
    const value = localStorage.getItem(PREFIX + name);
    return value && HISTORY.includes(name) ? withHeaders(value, defaultHeaders) : value;
  },
  setItem(name, value) {
    localStorage.setItem(PREFIX + name, HISTORY.includes(name) ? withHeaders(value, undefined) : value);
  },
  removeItem: (name) => localStorage.removeItem(PREFIX + name),
  clear: () => names().forEach((name) => localStorage.removeItem(name)),
  get length() {
    return names().length;
  },
};

/** The name of a document's operation, by which GraphiQL titles its tab. */
export function operationName(query) {
  return /^(?:query|mutation|subscription)\s+(\w+)/m.exec(query)?.[1] ?? null;
}

/**
 * Prepares what GraphiQL finds when it starts: the tabs of last time, else the steps. GraphiQL's `defaultTabs` would lose the
 * variables of the first tab. And it adds a tab whenever the query and variables that it edited last are not those of a tab,
 * as they are after a second window, or before anything was edited.
 */
export function prepare(steps, headers) {
  defaultHeaders = headers;
  const stored = storage.getItem(TABS);
  if (stored === null && steps.length === 0) {
    return;
  }
  const state = stored === null ? { tabs: steps.map(tabOf), activeTabIndex: 0 } : JSON.parse(stored);
  const active = state.tabs[state.activeTabIndex];
  storage.setItem(TABS, JSON.stringify(state));
  for (const name of ['query', 'variables', 'operationName']) {
    storage.setItem(`graphiql:${name}`, active?.[name] ?? '');
  }
  if (storage.getItem('graphiql:editorFlex') === null) {
    // Documents are wider than most responses.
    storage.setItem('graphiql:editorFlex', '1.4');
  }
}

const tabOf = ({ query, variables }, index) => ({
  id: `step-${index + 1}`,
  hash: null,
  title: operationName(query) ?? '<untitled>',
  query,
  variables,
  headers: null,
  operationName: operationName(query),
  response: null,
});

/** Forgets the open tabs, and lays out the steps anew. */
export function startOver() {
  storage.removeItem(TABS);
  window.location.reload();
}
