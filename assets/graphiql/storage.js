// What the page remembers in the browser: GraphiQL's own entries under a prefix of ours, so that another GraphiQL that was
// served from the same address before (localhost:8000 is popular) does not show up in this one.
const PREFIX = 'graphook:';
const TABS = 'graphiql:tabState';

const names = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));

export const storage = {
  getItem: (name) => localStorage.getItem(PREFIX + name),
  setItem: (name, value) => localStorage.setItem(PREFIX + name, value),
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
 * The tabs are stored as though they had been open before, unless others are. GraphiQL's `defaultTabs` would lose the
 * variables of the first tab, and add an empty tab when the page is loaded a second time.
 */
export function layOut(steps) {
  if (storage.getItem(TABS) !== null || steps.length === 0) {
    return;
  }
  const tabs = steps.map(({ query, variables }, index) => ({
    id: `step-${index + 1}`,
    hash: null,
    title: operationName(query) ?? '<untitled>',
    query,
    variables,
    headers: null,
    operationName: operationName(query),
    response: null,
  }));
  storage.setItem(TABS, JSON.stringify({ tabs, activeTabIndex: 0 }));
  storage.setItem('graphiql:query', steps[0].query);
  storage.setItem('graphiql:variables', steps[0].variables ?? '');
  storage.setItem('graphiql:operationName', tabs[0].operationName ?? '');
}

/** Forgets the open tabs, and lays out the first steps anew when the page loads again. */
export function layOutAnew() {
  for (const name of [TABS, 'graphiql:query', 'graphiql:variables', 'graphiql:operationName']) {
    storage.removeItem(name);
  }
  window.location.reload();
}
