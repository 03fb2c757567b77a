import { describe, expect, it } from 'vitest';
import { BROWSER_APPS, bundleForBrowser } from '../../scripts/browser-bundle.ts';

describe('a browser bundle of the client', () => {
  it.each(Object.entries(BROWSER_APPS))('keeps to its budget: %s', async (_, app) => {
    const { gzipped } = await bundleForBrowser(app);
    // A bundle without the Protobuf runtime would be no bundle of the client.
    expect(gzipped).toBeGreaterThan(20_000);
    expect(gzipped).toBeLessThanOrEqual(app.budget);
  });

  it('leaves the validation rules and their engine out of an app that does not validate', async () => {
    const { inputs } = await bundleForBrowser(BROWSER_APPS['one unary call']);
    expect(inputs.filter(path => /protovalidate|buf\/validate|@bufbuild\/(cel|re2)/.test(path))).toEqual([]);
  });

  it('holds one variant of the contract only', async () => {
    const { inputs } = await bundleForBrowser(BROWSER_APPS['one unary call']);
    const contract = inputs.filter(path => path.endsWith('post_service_pb.js'));
    expect(contract).toEqual(['client/dist/gen/web/blog/v1/post_service_pb.js']);
  });
});
