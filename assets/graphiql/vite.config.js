// Builds the page as three files with fixed names, so that a rebuild changes only what really changed.
import { defineConfig } from 'vite';

/** GraphiQL's style sheet carries 300 kB of fonts; those of the system serve as well. */
const systemFonts = {
  name: 'system-fonts',
  enforce: 'pre',
  transform(code, id) {
    if (!id.endsWith('.css')) {
      return undefined;
    }
    const plain = code.replace(/@font-face\s*\{[^}]*\}/g, '');
    return { code: plain.replaceAll('"Roboto"', 'system-ui').replaceAll('"Fira Code"', 'ui-monospace'), map: null };
  },
};

/**
 * The check of the variables takes an object or a list for an error where a scalar is expected, yet the payload of a message is
 * a JSON scalar. Custom scalars are left to the server. The build fails when the place has changed.
 */
const objectsAsScalars = {
  name: 'objects-as-scalars',
  transform(code, id) {
    if (!id.endsWith('codemirror-graphql/esm/variables/lint.js')) {
      return undefined;
    }
    const place = '(type instanceof GraphQLEnumType || type instanceof GraphQLScalarType) &&';
    if (code.split(place).length !== 2) {
      this.error('the check of variables has changed: see whether it accepts objects for custom scalars by now');
    }
    // The scalars of GraphQL itself have been checked by name before.
    return { code: code.replace(place, 'type instanceof GraphQLEnumType &&'), map: null };
  },
};

/**
 * The search of the documentation shows Ctrl+K as its key where that is the one, and listens to Cmd+K alone; the browser then takes Ctrl+K for its
 * own search. The build fails when the place has changed.
 */
const keyOfSearch = {
  name: 'key-of-search',
  transform(code, id) {
    if (!id.endsWith('plugin-doc-explorer/dist/components/search.js')) {
      return undefined;
    }
    const place = 'if (event.metaKey && event.key === "k") {';
    if (code.split(place).length !== 2) {
      this.error('the search of the documentation has changed: see whether it listens to Ctrl+K by now');
    }
    const mended = 'if ((event.metaKey || event.ctrlKey) && event.key === "k" && inputRef.current) { event.preventDefault();';
    return { code: code.replace(place, mended), map: null };
  },
};

export default defineConfig({
  base: '/graphiql/',
  plugins: [systemFonts, objectsAsScalars, keyOfSearch],
  build: {
    target: 'es2022',
    outDir: 'dist',
    // The browser loads the page once from its own server: fewer files are worth more than later chunks.
    cssCodeSplit: false,
    chunkSizeWarningLimit: 2500,
    modulePreload: false,
    license: { fileName: 'assets/third-party-licences.md' },
    rolldownOptions: {
      onLog(level, log, report) {
        // `"use client"` is for servers that render React; here everything runs in the browser.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') {
          report(level, log);
        }
      },
      output: {
        codeSplitting: false,
        entryFileNames: 'assets/graphiql.js',
        assetFileNames: (asset) => (asset.names.some((name) => name.endsWith('.css')) ? 'assets/graphiql.css' : 'assets/[name][extname]'),
      },
    },
  },
});
