import { create, isMessage, type Message } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { orderFault } from '#client/post-rules.ts';
import type {
  BatchCreatePostsRequest,
  BatchGetPostsRequest,
  CreatePostRequest,
  DeletePostRequest,
  GetPostRequest,
  GetPostResponse,
  ListPostsRequest,
  ListPostsResponse,
  PostService,
  UndeletePostRequest,
  UpdatePostRequest,
  WatchPostsRequest,
  WatchPostsResponse,
} from '#gen/blog/v1/post_service_pb.js';
import {
  GetPostResponseSchema,
  ListPostsRequestSchema,
  ListPostsResponseSchema,
  WatchPostsRequestSchema,
  WatchPostsResponseSchema,
} from '#gen/blog/v1/post_service_pb.js';
import { PostCall } from '#src/posts/api/post-call.ts';
import { hasContent, parseOrder, toPostFilter } from '#src/posts/api/post-list.ts';
import { toAuthoredFields, toMessage, toNewPost } from '#src/posts/api/post-message.ts';
import { toChanges } from '#src/posts/api/update-mask.ts';
import { responseSenderKey, WatchResponses } from '#src/posts/api/watch-responses.ts';
import type { PostWatches } from '#src/posts/feed/post-watches.ts';
import { ResumeTokens } from '#src/posts/feed/resume-token.ts';
import { type FieldFault, InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { Post } from '#src/posts/post.ts';
import {
  PostDeletedError,
  PostNotFoundError,
  type PostOrder,
  type PostPage,
  type PostStore,
  PostsTooLargeError,
} from '#src/posts/post-store.ts';
import { countFitting, createdSize, RESPONSE_MAX_BYTES, ResponseTooLargeError } from '#src/posts/response-size.ts';
import { chooseSlug } from '#src/posts/slug.ts';
import { ConsistencyTokens, type KnownTimeline } from '#src/posts/tokens/consistency-token.ts';
import { PageTokens } from '#src/posts/tokens/page-token.ts';

/**
 * Implements each RPC as post_service.proto promises it. Requests arrive validated. Methods throw errors of the domain;
 * the RPC layer maps them to codes.
 */
export class PostServiceImpl implements ServiceImpl<typeof PostService> {
  readonly #store: PostStore;
  readonly #watches: Pick<PostWatches, 'watch'>;
  readonly #pageTokens: PageTokens;
  readonly #consistencyTokens: ConsistencyTokens;
  /** A post or page that the store returns again gets the same message, whose encoding the transport keeps. */
  readonly #posts = new WeakMap<Post, GetPostResponse>();
  readonly #pages = new WeakMap<PostPage, ListPostsResponse>();
  readonly #resumeTokens: ResumeTokens;
  readonly #watchResponses: WatchResponses;
  readonly #history: KnownTimeline;

  /**
   * @param secret of the tokens; must be the same on every instance.
   * @param history of the primary.
   */
  constructor(store: PostStore, watches: Pick<PostWatches, 'watch'>, secret: string, history: KnownTimeline) {
    this.#store = store;
    this.#history = history;
    this.#watches = watches;
    this.#resumeTokens = new ResumeTokens(secret);
    this.#watchResponses = new WatchResponses(this.#resumeTokens);
    this.#pageTokens = new PageTokens(secret);
    this.#consistencyTokens = new ConsistencyTokens(secret);
  }

  async getPost({ key }: GetPostRequest, context: HandlerContext) {
    const call = this.#call(context);
    const post =
      key.case === 'slug'
        ? await this.#store.getBySlug(key.value, call)
        : await this.#store.getById(key.value?.toLowerCase() ?? '', call);
    if (post === undefined) throw new PostNotFoundError([key.value ?? '']);
    return remembered(this.#posts, post, () => create(GetPostResponseSchema, { post: toMessage(post) }));
  }

  async batchGetPosts(request: BatchGetPostsRequest, context: HandlerContext) {
    const ids = request.ids.map(id => id.toLowerCase());
    const found = await this.#store.getMany([...new Set(ids)], PAGE_CONTENT_MAX_BYTES, this.#call(context));
    const messages = new Map(found.map(post => [post.id, toMessage(post)]));
    const absent = [...new Set(ids)].filter(id => !messages.has(id));
    if (absent.length > 0) throw new PostNotFoundError(absent);
    requireFits(ids, found);
    return { posts: ids.flatMap(id => messages.get(id) ?? []) };
  }

  async listPosts(request: ListPostsRequest, context: HandlerContext) {
    const list = { ...toPostFilter(request), order: parseOrder(request.orderBy) };
    const read = await this.#store.list(
      {
        ...list,
        after: request.pageToken === '' ? undefined : this.#pageTokens.open(request.pageToken, list),
        skip: request.skip,
        limit: Math.min(request.pageSize || PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
        maxContentBytes: hasContent(request.view) ? PAGE_CONTENT_MAX_BYTES : 0,
      },
      this.#call(context),
    );
    return remembered(this.#pages, read, () => {
      const page = fittingPage(read, list.order.by);
      return create(ListPostsResponseSchema, {
        posts: page.posts.map(toMessage),
        nextPageToken: page.next === undefined ? '' : this.#pageTokens.seal(page.next, list),
      });
    });
  }

  async createPost(request: CreatePostRequest, context: HandlerContext) {
    const { validateOnly } = request;
    const [post] = await this.#store.create([await toNewPost(request)], { validateOnly }, this.#call(context));
    return { post: post && toMessage(post) };
  }

  async batchCreatePosts({ requests }: BatchCreatePostsRequest, context: HandlerContext) {
    const validateOnly = requests.some(request => request.validateOnly);
    const posts = await Promise.all(requests.map(toNewPost));
    // Checked before anything is written, because no client could read the response.
    const bytes = posts.reduce((sum, post) => sum + createdSize(post), 0);
    if (bytes > RESPONSE_MAX_BYTES) throw new ResponseTooLargeError('create fewer posts at a time');
    const created = await this.#store.create(posts, { validateOnly }, this.#call(context));
    return { posts: created.map(toMessage) };
  }

  async updatePost({ post: message, updateMask, validateOnly }: UpdatePostRequest, context: HandlerContext) {
    if (message === undefined) throw new Error('a request without a post was not refused');
    const id = message.id.toLowerCase();
    const changes = toChanges(updateMask, toAuthoredFields(message));
    const { slugIfTaken, ...slug } =
      changes.slug === undefined ? { slugIfTaken: [] } : await chooseSlug(changes.slug, message.title, id);
    const options = { validateOnly, etag: message.etag || undefined, slugIfTaken };
    const post = await this.#store.update(id, { ...changes, ...slug }, options, this.#call(context));
    return { post: toMessage(post) };
  }

  async deletePost({ id, etag, allowMissing }: DeletePostRequest, context: HandlerContext) {
    try {
      return { post: toMessage(await this.#store.delete(id.toLowerCase(), etag || undefined, this.#call(context))) };
    } catch (error) {
      if (allowMissing && (error instanceof PostNotFoundError || error instanceof PostDeletedError)) return {};
      throw error;
    }
  }

  async undeletePost({ id, etag }: UndeletePostRequest, context: HandlerContext) {
    return { post: toMessage(await this.#store.undelete(id.toLowerCase(), etag || undefined, this.#call(context))) };
  }

  async *watchPosts(
    { resumeToken, author, tag }: WatchPostsRequest,
    { signal, values }: HandlerContext,
  ): AsyncGenerator<WatchPostsResponse> {
    const start = resumeToken === '' ? undefined : this.#resumeTokens.open(resumeToken);
    const filter = { author: author || undefined, tag: tag || undefined };
    const sender = values.get(responseSenderKey);
    let isFirst = true;
    for await (const place of this.#watches.watch(start, filter, signal)) {
      // A watch that has read nothing is still at its start.
      const response =
        place.position === start ? create(WatchPostsResponseSchema, { resumeToken }) : this.#watchResponses.of(place);
      if (isFirst || sender === undefined) yield response;
      else await sender.send(response);
      isFirst = false;
    }
  }

  /** Faults of a request's tokens. A page token can't be checked if the request's order is invalid. */
  readonly tokenFaults = (message: Message): readonly FieldFault[] => {
    try {
      if (isMessage(message, WatchPostsRequestSchema) && message.resumeToken !== '')
        this.#resumeTokens.open(message.resumeToken);
      if (isMessage(message, ListPostsRequestSchema) && message.pageToken !== '') {
        if (orderFault(message.orderBy) !== undefined) return [];
        this.#pageTokens.open(message.pageToken, { ...toPostFilter(message), order: parseOrder(message.orderBy) });
      }
      return [];
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const { reason, faults } = error;
      return faults.map(fault => ({ ...fault, reason }));
    }
  };

  #call(context: HandlerContext): PostCall {
    return new PostCall(context, this.#consistencyTokens, this.#history);
  }
}

/** Freezes the response, which tells the transport that it never changes. */
function remembered<Key extends object, Response extends object>(
  responses: WeakMap<Key, Response>,
  key: Key,
  make: () => Response,
): Response {
  let response = responses.get(key);
  if (response === undefined) {
    response = Object.freeze(make());
    responses.set(key, response);
  }
  return response;
}

/** The store counts each post's content once. The response repeats a post as often as its id was requested. */
function requireFits(ids: readonly string[], posts: readonly Post[]): void {
  const byId = new Map(posts.map(post => [post.id, post]));
  const answered = ids.flatMap(id => byId.get(id) ?? []);
  if (answered.length > posts.length) {
    const contentBytes = answered.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    if (contentBytes > PAGE_CONTENT_MAX_BYTES) throw new PostsTooLargeError(PAGE_CONTENT_MAX_BYTES);
  }
  if (countFitting(answered, RESPONSE_MAX_BYTES) < answered.length) {
    throw new ResponseTooLargeError('request fewer posts at a time');
  }
}

/** Cuts a page to the size of a response: large titles, authors and tags count too. */
function fittingPage(page: PostPage, orderedBy: PostOrder['by']): PostPage {
  const fitting = countFitting(page.posts, RESPONSE_MAX_BYTES - PAGE_TOKEN_MAX_BYTES);
  if (fitting === page.posts.length) return page;
  const posts = page.posts.slice(0, fitting);
  const last = posts.at(-1);
  return { posts, next: last && { time: last[orderedBy], id: last.id } };
}

const PAGE_SIZE_DEFAULT = 20;
const PAGE_SIZE_MAX = 100;
/** The most content to read. It leaves room for the other fields of most posts. */
const PAGE_CONTENT_MAX_BYTES = 3 * 1024 * 1024;
/** Larger than the next page's token in a response. */
const PAGE_TOKEN_MAX_BYTES = 128;
