import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/**
 * The browser apps that are measured, and the most bytes that each may have gzipped: what it has today and a little
 * room for new versions of its libraries. Each goes through the client package's own exports.
 */
export const BROWSER_APPS = {
  'one unary call': {
    budget: 38_000,
    source: `
      import { createPostClient } from '@postservice/client/web';
      const { post } = await createPostClient('/').getPost({ key: { case: 'slug', value: location.hash } });
      document.title = post.title;`,
  },
  'the same with validation': {
    budget: 112_500,
    source: `
      import { validationInterceptor } from '@postservice/client/validate';
      import { createPostClient } from '@postservice/client/web';
      const posts = createPostClient('/', { interceptors: [validationInterceptor()] });
      const { post } = await posts.getPost({ key: { case: 'slug', value: location.hash } });
      document.title = post.title;`,
  },
} as const satisfies Record<string, BrowserApp>;

const root = fileURLToPath(new URL('..', import.meta.url));

/** Bundles an app as a web page would get it: minified, for browsers of the last two years. */
export async function bundleForBrowser(app: BrowserApp): Promise<BrowserBundle> {
  const { outputFiles, metafile } = await build({
    // Within the package, so that its name leads to its own exports.
    stdin: { contents: app.source, resolveDir: `${root}client` },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false,
  });
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  return { minified: code.length, gzipped: gzipSync(code, { level: 9 }).length, inputs: Object.keys(metafile.inputs) };
}

interface BrowserApp {
  readonly source: string;
  /** Gzipped bytes. */
  readonly budget: number;
}

interface BrowserBundle {
  /** Bytes. */
  readonly minified: number;
  /** Bytes, at gzip's level 9. */
  readonly gzipped: number;
  /** The files that went in, as paths within the project. */
  readonly inputs: readonly string[];
}
