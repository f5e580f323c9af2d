// Builds the page as three files with fixed names, so that a rebuild changes only what really changed.
import { defineConfig } from 'vite';

/** GraphiQL's style sheet carries 300 kB of fonts; page.css names those of the system instead. */
const withoutFonts = {
  name: 'without-fonts',
  enforce: 'pre',
  transform: (code, id) => (id.endsWith('.css') ? { code: code.replace(/@font-face\s*\{[^}]*\}/g, ''), map: null } : undefined),
};

export default defineConfig({
  base: '/graphiql/',
  plugins: [withoutFonts],
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
