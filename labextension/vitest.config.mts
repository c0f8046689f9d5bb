import { readFile } from 'node:fs/promises';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [
    {
      // JupyterLab imports its icons as text.
      name: 'svg-as-text',
      enforce: 'pre',
      async load(id) {
        return id.endsWith('.svg') ? `export default ${JSON.stringify(await readFile(id, 'utf8'))}` : null;
      }
    }
  ],
  test: {
    environment: 'jsdom',
    include: ['test/**/*.spec.{ts,tsx}'],
    setupFiles: ['test/setup.ts'],
    css: false,
    server: { deps: { inline: [/@jupyterlab\//, /@jupyter\//, /@lumino\//] } }
  }
});
