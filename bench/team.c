/*
 * A fixed set of threads that do one thing at the same time.
 */
#include "team.h"

#include "timer.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct member {
    struct bench_team *team;
    int index;
    pthread_t thread;
    double started, ended;
};

struct bench_team {
    int threads;
    bench_team_function function; /* NULL: the members end */
    void *argument;

    pthread_mutex_t lock; /* guards round and running */
    pthread_cond_t new_round, round_done;
    int64_t round;
    int running; /* members other than the caller that have not finished the round */

    atomic_int arrived; /* members that are awake in this round */
    struct member members[];
};

/* Waking up takes longer than many a task, so everyone waits for the last one before the clock starts. */
static void work(struct member *member) {
    struct bench_team *team = member->team;
    atomic_fetch_add(&team->arrived, 1);
    while (atomic_load(&team->arrived) < team->threads) {
        sched_yield();
    }
    member->started = bench_now();
    team->function(team->argument, member->index);
    member->ended = bench_now();
}

static void *member_main(void *argument) {
    struct member *member = argument;
    struct bench_team *team = member->team;
    for (int64_t last_round = 0;; last_round++) {
        pthread_mutex_lock(&team->lock);
        while (team->round == last_round) {
            pthread_cond_wait(&team->new_round, &team->lock);
        }
        const int ending = team->function == NULL;
        pthread_mutex_unlock(&team->lock);
        if (ending) {
            return NULL;
        }

        work(member);

        pthread_mutex_lock(&team->lock);
        if (--team->running == 0) {
            pthread_cond_signal(&team->round_done);
        }
        pthread_mutex_unlock(&team->lock);
    }
}

static void begin_round(struct bench_team *team, bench_team_function function, void *argument) {
    pthread_mutex_lock(&team->lock);
    team->function = function;
    team->argument = argument;
    team->running = team->threads - 1;
    atomic_store(&team->arrived, 0);
    team->round++;
    pthread_cond_broadcast(&team->new_round);
    pthread_mutex_unlock(&team->lock);
}

static void await_round(struct bench_team *team) {
    pthread_mutex_lock(&team->lock);
    while (team->running > 0) {
        pthread_cond_wait(&team->round_done, &team->lock);
    }
    pthread_mutex_unlock(&team->lock);
}

struct bench_team *bench_team_create(int threads) {
    struct bench_team *team = calloc(1, sizeof *team + (size_t)threads * sizeof team->members[0]);
    if (team == NULL) {
        return NULL;
    }
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->new_round, NULL);
    pthread_cond_init(&team->round_done, NULL);
    for (int i = 0; i < threads; i++) {
        team->members[i].team = team;
        team->members[i].index = i;
        if (i > 0 && pthread_create(&team->members[i].thread, NULL, member_main, &team->members[i]) != 0) {
            bench_team_destroy(team);
            return NULL;
        }
        team->threads = i + 1;
    }
    return team;
}

void bench_team_destroy(struct bench_team *team) {
    if (team == NULL) {
        return;
    }
    begin_round(team, NULL, NULL);
    for (int i = 1; i < team->threads; i++) {
        pthread_join(team->members[i].thread, NULL);
    }
    pthread_cond_destroy(&team->round_done);
    pthread_cond_destroy(&team->new_round);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

double bench_team_run(struct bench_team *team, bench_team_function function, void *argument) {
    begin_round(team, function, argument);
    work(&team->members[0]);
    await_round(team);
    double started = team->members[0].started;
    double ended = team->members[0].ended;
    for (int i = 1; i < team->threads; i++) {
        started = team->members[i].started < started ? team->members[i].started : started;
        ended = team->members[i].ended > ended ? team->members[i].ended : ended;
    }
    return ended - started;
}

int bench_team_threads(const struct bench_team *team) { return team->threads; }
