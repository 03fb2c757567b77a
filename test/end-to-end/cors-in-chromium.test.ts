import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChromium, whyNoChromium } from '#test/support/chromium.ts';
import { openPublicPort } from '#test/support/public-port.ts';

/** What pages send that the service, or a mesh around it, reads. */
const SENT = {
  authorization: 'Bearer token',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1',
  baggage: 'user=1',
  'x-criticality': 'critical-plus',
  'x-consistency-token': 'token',
  'x-request-id': 'of-the-page',
  'connect-timeout-ms': '5000',
};

/** Calls GetPost from a page, and gives what the page can see of the answer. Runs in the browser. */
async function callFromPage({ url, headers }: { readonly url: string; readonly headers: Record<string, string> }) {
  const path = '/blog.v1.PostService/GetPost';
  const init = { 'content-type': 'application/json', 'connect-protocol-version': '1', ...headers };
  const response = await fetch(url + path, { method: 'POST', headers: init, body: '{}' });
  return { status: response.status, body: await response.json(), headers: Object.fromEntries(response.headers) };
}

/** A service whose GetPost answers with all fields that the service may send. */
function getPost(_request: unknown, { responseHeader }: { readonly responseHeader: Headers }) {
  responseHeader.set('x-consistency-token', 'of-the-service');
  responseHeader.set('age', '1');
  responseHeader.set('cache-status', 'PostService; hit');
  responseHeader.set('x-served-by', 'host-1');
  return { post: { title: 'seen' } };
}

/** An empty page on an origin of its own. */
async function openPage(browser: Browser): Promise<AsyncDisposable & { readonly page: Page; readonly origin: string }> {
  const site = http.createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html>');
  });
  await new Promise<void>(resolve => site.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  const page = await browser.newPage();
  await page.goto(origin);
  return {
    page,
    origin,
    [Symbol.asyncDispose]: async () => {
      await page.close();
      site.closeAllConnections();
      site.close();
    },
  };
}

describe.skipIf(await whyNoChromium())('Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser.close());

  it('lets a page of an allowed origin send what the service reads, and read what it returns', async () => {
    await using site = await openPage(browser);
    await using port = await openPublicPort({ posts: { getPost }, corsOrigins: [site.origin] });
    const answer = await site.page.evaluate(callFromPage, { url: port.url, headers: SENT });
    expect(answer).toMatchObject({
      status: 200,
      body: { post: { title: 'seen' } },
      headers: {
        'x-request-id': 'of-the-page',
        'x-consistency-token': 'of-the-service',
        age: '1',
        'cache-status': 'PostService; hit',
      },
    });
    expect(answer.headers).not.toHaveProperty('x-served-by');
  });

  it('lets it send and read the fields that the settings add', async () => {
    await using site = await openPage(browser);
    const corsFields = { allow: ['x-tenant'], expose: ['x-served-by'] };
    await using port = await openPublicPort({ posts: { getPost }, corsOrigins: [site.origin], corsFields });
    const headers = { 'x-tenant': 'a' };
    const answer = await site.page.evaluate(callFromPage, { url: port.url, headers });
    expect(answer.headers).toMatchObject({ 'x-served-by': 'host-1' });
  });

  it('keeps it from sending any other field', async () => {
    await using site = await openPage(browser);
    await using port = await openPublicPort({ posts: { getPost }, corsOrigins: [site.origin] });
    const headers = { 'x-tenant': 'a' };
    const call = site.page.evaluate(callFromPage, { url: port.url, headers });
    await expect(call).rejects.toThrow('Failed to fetch');
  });

  it('keeps a page of another origin from calling', async () => {
    await using site = await openPage(browser);
    let calls = 0;
    const counted = () => {
      calls++;
      return {};
    };
    await using port = await openPublicPort({ posts: { getPost: counted }, corsOrigins: ['https://app.example.com'] });
    const call = site.page.evaluate(callFromPage, { url: port.url, headers: {} });
    await expect(call).rejects.toThrow('Failed to fetch');
    expect(calls).toBe(0);
  });
});
